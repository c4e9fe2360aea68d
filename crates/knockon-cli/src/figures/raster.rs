//! SVG to PNG, with an embedded font: the same picture on a machine without any font.

use anyhow::{Context, Result};
use resvg::{tiny_skia, usvg};
use std::sync::Arc;

/// Pixels per SVG unit.
const SCALE: f32 = 2.0;

/// Draws an SVG text into the bytes of a PNG file.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>> {
    let mut options = usvg::Options { font_family: "Noto Sans".to_owned(), ..usvg::Options::default() };
    let fonts = Arc::make_mut(&mut options.fontdb);
    for font in [ttf_noto_sans::REGULAR, ttf_noto_sans::BOLD, ttf_noto_sans::ITALIC] {
        fonts.load_font_data(font.to_vec());
    }
    fonts.set_sans_serif_family("Noto Sans");
    let tree = usvg::Tree::from_str(svg, &options).context("a figure is not well-formed SVG")?;
    let size = tree.size().to_int_size().scale_by(SCALE).context("a figure has no size")?;
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height()).context("a figure has no size")?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().context("cannot encode a figure as PNG")
}
