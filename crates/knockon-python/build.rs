//! Link arguments of a Python extension module where the platform needs some (macOS).

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
