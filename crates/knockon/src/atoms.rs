//! A box of atoms: cell, species, positions.

use crate::Error;
use glam::{BVec3, DMat3, DVec3};
use serde::{Deserialize, Serialize};

/// A chemical element, by atomic number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Species(u8);

/// Symbols by atomic number, hydrogen first.
const SYMBOLS: [&str; 94] = [
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca",
    "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",
    "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce",
    "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir",
    "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu",
];

/// Standard atomic weights in u: IUPAC 2021, conventional values where a weight varies in nature (Prohaska et al., Pure Appl.
/// Chem. 94 (2022) 573); mass number of the longest-lived isotope where there is none.
const MASSES_U: [f64; 94] = [
    1.008,
    4.002602,
    6.94,
    9.0121831,
    10.81,
    12.011,
    14.007,
    15.999,
    18.998403162,
    20.1797,
    22.98976928,
    24.305,
    26.9815384,
    28.085,
    30.973761998,
    32.06,
    35.45,
    39.95,
    39.0983,
    40.078,
    44.955907,
    47.867,
    50.9415,
    51.9961,
    54.938043,
    55.845,
    58.933194,
    58.6934,
    63.546,
    65.38,
    69.723,
    72.630,
    74.921595,
    78.971,
    79.904,
    83.798,
    85.4678,
    87.62,
    88.905838,
    91.224,
    92.90637,
    95.95,
    97.0,
    101.07,
    102.90549,
    106.42,
    107.8682,
    112.414,
    114.818,
    118.710,
    121.760,
    127.60,
    126.90447,
    131.293,
    132.90545196,
    137.327,
    138.90547,
    140.116,
    140.90766,
    144.242,
    145.0,
    150.36,
    151.964,
    157.25,
    158.925354,
    162.500,
    164.930329,
    167.259,
    168.934219,
    173.045,
    174.9668,
    178.486,
    180.94788,
    183.84,
    186.207,
    190.23,
    192.217,
    195.084,
    196.966570,
    200.592,
    204.38,
    207.2,
    208.98040,
    209.0,
    210.0,
    222.0,
    223.0,
    226.0,
    227.0,
    232.0377,
    231.03588,
    238.02891,
    237.0,
    244.0,
];

impl Species {
    /// The element with this atomic number, if it is between 1 (hydrogen) and 94 (plutonium).
    pub fn from_atomic_number(number: u8) -> Option<Self> {
        (1..=SYMBOLS.len() as u8).contains(&number).then_some(Self(number))
    }

    /// Each element of a list once, by atomic number.
    pub fn distinct(list: &[Self]) -> Vec<Self> {
        let mut distinct = list.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        distinct
    }

    /// The element with this symbol, e.g. `"W"`.
    pub fn from_symbol(symbol: &str) -> Option<Self> {
        SYMBOLS.iter().position(|s| *s == symbol).map(|i| Self(i as u8 + 1))
    }

    /// Atomic number.
    pub fn atomic_number(self) -> u8 {
        self.0
    }

    /// Chemical symbol.
    pub fn symbol(self) -> &'static str {
        SYMBOLS[usize::from(self.0) - 1]
    }

    /// Standard atomic weight in u.
    pub fn mass_u(self) -> f64 {
        MASSES_U[usize::from(self.0) - 1]
    }
}

impl std::fmt::Display for Species {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.symbol())
    }
}

impl TryFrom<String> for Species {
    type Error = String;
    fn try_from(symbol: String) -> Result<Self, String> {
        Self::from_symbol(&symbol)
            .ok_or_else(|| format!("expected a chemical symbol such as \"W\", found \"{symbol}\""))
    }
}

impl From<Species> for String {
    fn from(species: Species) -> String {
        species.symbol().to_owned()
    }
}

/// Cells are counted in 32 bits, and fractional coordinates lose digits.
const FARTHEST_CELLS: f64 = 1e6;

/// A parallelepiped, periodic along any of its three edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// The columns are the lattice vectors in angstrom: position = vectors * fractional coordinates.
    pub vectors: DMat3,
    /// Along which lattice vectors the box repeats.
    pub periodic: BVec3,
}

impl Cell {
    /// A fully periodic cell from three lattice vectors in angstrom.
    pub fn periodic(a: DVec3, b: DVec3, c: DVec3) -> Self {
        Self { vectors: DMat3::from_cols(a, b, c), periodic: BVec3::TRUE }
    }

    /// Along which lattice vectors the cell repeats, for messages.
    pub fn periodic_in_words(&self) -> String {
        let [a, b, c] = <[bool; 3]>::from(self.periodic).map(|repeats| if repeats { "T" } else { "F" });
        format!("pbc=\"{a} {b} {c}\"")
    }

    /// Volume in angstrom^3 (positive for either handedness).
    pub fn volume_angstrom3(&self) -> f64 {
        self.vectors.determinant().abs()
    }

    /// Distances in angstrom between opposite faces, along the three lattice vectors.
    pub fn face_distances_angstrom(&self) -> DVec3 {
        let [a, b, c] = [self.vectors.x_axis, self.vectors.y_axis, self.vectors.z_axis];
        let volume = self.volume_angstrom3();
        DVec3::new(volume / b.cross(c).length(), volume / c.cross(a).length(), volume / a.cross(b).length())
    }

    /// Fractional coordinates of a position.
    pub fn fractional(&self, position: DVec3) -> DVec3 {
        self.vectors.inverse() * position
    }

    /// The image of a position inside the cell.
    pub fn wrapped(&self, position: DVec3) -> DVec3 {
        let f = self.fractional(position);
        // The margin keeps an atom on a face of the cell from going to either side by rounding.
        self.vectors * (f - (f + DVec3::splat(1e-6)).floor())
    }

    /// The shortest image of a difference vector, searched among the neighbouring cells of its rounded image.
    pub fn minimum_image(&self, difference: DVec3) -> DVec3 {
        let fractional = self.fractional(difference);
        let round = |x: f64, periodic: bool| if periodic { x - x.round() } else { x };
        let [px, py, pz]: [bool; 3] = self.periodic.into();
        let base = DVec3::new(round(fractional.x, px), round(fractional.y, py), round(fractional.z, pz));
        let range = |periodic: bool| if periodic { -1..=1 } else { 0..=0 };
        let mut best = self.vectors * base;
        for i in range(px) {
            for j in range(py) {
                for k in range(pz) {
                    let image = self.vectors * (base + DVec3::new(f64::from(i), f64::from(j), f64::from(k)));
                    if image.length_squared() < best.length_squared() {
                        best = image;
                    }
                }
            }
        }
        best
    }
}

/// Periodic cells are at least this thick: no two layers of atoms are closer, and a neighbour list within a few angstrom
/// needs no more than some tens of images along a direction.
const THINNEST_ANGSTROM: f64 = 0.2;

/// Atoms in a cell. Positions are not wrapped: dynamics may carry atoms across the boundary.
#[derive(Clone, Debug, PartialEq)]
pub struct Atoms {
    /// The box.
    pub cell: Cell,
    /// Element of each atom.
    pub species: Vec<Species>,
    /// Position of each atom in angstrom.
    pub positions: Vec<DVec3>,
}

impl Atoms {
    /// How far each atom is from where it was `before`, in angstrom, by nearest images. In words what is different, if these are not the
    /// same atoms in the same cell, whose vectors may differ by the tolerance.
    pub fn moves_from(&self, before: &Self, cell_tolerance_angstrom: f64) -> Result<Vec<DVec3>, String> {
        if self.species != before.species {
            return Err("other atoms, or in another order".to_owned());
        }
        if !self.cell.vectors.abs_diff_eq(before.cell.vectors, cell_tolerance_angstrom) {
            return Err("another cell".to_owned());
        }
        let moved = |(now, then): (&DVec3, &DVec3)| before.cell.minimum_image(*now - *then);
        Ok(self.positions.iter().zip(&before.positions).map(moved).collect())
    }

    /// The elements that it has, by atomic number.
    pub fn elements(&self) -> Vec<Species> {
        Species::distinct(&self.species)
    }

    /// The nearest two different atoms of two elements, with the vector from the first to the second. Of equally near ones the first.
    pub fn nearest_pair(&self, elements: [Species; 2]) -> Option<([usize; 2], DVec3)> {
        let of = |element: Species| (0..self.len()).filter(move |atom| self.species[*atom] == element);
        let mut nearest: Option<([usize; 2], DVec3)> = None;
        for i in of(elements[0]) {
            for j in of(elements[1]).filter(|j| *j != i) {
                let vector = self.cell.minimum_image(self.positions[j] - self.positions[i]);
                // Rounding must not choose between equally near pairs.
                if nearest.is_none_or(|(_, best)| vector.length() < best.length() - 1e-6) {
                    nearest = Some(([i, j], vector));
                }
            }
        }
        nearest
    }

    /// Checks lengths, finite positions and a cell with volume that is not absurdly thin; `place` names the origin in the error.
    pub fn new(cell: Cell, species: Vec<Species>, positions: Vec<DVec3>, place: &str) -> Result<Self, Error> {
        if species.len() != positions.len() {
            let found =
                format!("expected as many species as positions, found {} and {}", species.len(), positions.len());
            return Err(Error::input(place, found, "Give one species per atom"));
        }
        if let Some(atom) = positions.iter().position(|p| !p.is_finite()) {
            let found = format!("expected finite positions, found {} for atom {}", positions[atom], atom + 1);
            return Err(Error::input(place, found, "Remove this configuration or repair the run that wrote it"));
        }
        let volume = cell.volume_angstrom3();
        if cell.periodic.any() && !(volume.is_finite() && volume > 1e-6) {
            let found = format!("expected a cell with positive volume, found {volume} A^3");
            return Err(Error::input(place, found, "Give three lattice vectors that are not coplanar"));
        }
        let faces = cell.face_distances_angstrom().to_array().into_iter().zip(<[bool; 3]>::from(cell.periodic));
        let thinnest = faces.filter(|(_, periodic)| *periodic).map(|(d, _)| d).fold(f64::INFINITY, f64::min);
        if thinnest < THINNEST_ANGSTROM {
            let found = format!(
                "expected opposite faces of the cell at least {THINNEST_ANGSTROM} A apart, found {thinnest:.4} A"
            );
            let remedy = "Check the unit of the lattice vectors (angstrom)";
            return Err(Error::input(place, found, remedy));
        }
        let farthest = |p: &DVec3| if cell.periodic.any() { cell.fractional(*p).abs().max_element() } else { 0.0 };
        if let Some(atom) = positions.iter().position(|p| farthest(p) > FARTHEST_CELLS) {
            let found = format!(
                "expected positions within {FARTHEST_CELLS:.0} cells of the origin, found {} for atom {}",
                positions[atom],
                atom + 1
            );
            return Err(Error::input(place, found, "Check the unit of the positions (angstrom)"));
        }
        Ok(Self { cell, species, positions })
    }

    /// Two atoms at a distance in angstrom, alone.
    pub fn dimer(species: [Species; 2], distance_angstrom: f64) -> Self {
        let cell = Cell { vectors: DMat3::IDENTITY, periodic: BVec3::FALSE };
        Self { cell, species: species.to_vec(), positions: vec![DVec3::ZERO, DVec3::Z * distance_angstrom] }
    }

    /// Number of atoms.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// True if there are no atoms.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Masses in u.
    pub fn masses_u(&self) -> Vec<f64> {
        self.species.iter().map(|s| s.mass_u()).collect()
    }

    /// `repeat[0] x repeat[1] x repeat[2]` copies; copy (i, j, k) of all atoms is one block, k fastest.
    pub fn supercell(&self, repeat: [usize; 3]) -> Self {
        let [a, b, c] = [self.cell.vectors.x_axis, self.cell.vectors.y_axis, self.cell.vectors.z_axis];
        let copies = repeat.iter().product::<usize>();
        let mut positions = Vec::with_capacity(self.len() * copies);
        for i in 0..repeat[0] {
            for j in 0..repeat[1] {
                for k in 0..repeat[2] {
                    let shift = a * i as f64 + b * j as f64 + c * k as f64;
                    positions.extend(self.positions.iter().map(|p| *p + shift));
                }
            }
        }
        let [na, nb, nc] = repeat.map(|n| n as f64);
        let vectors = DMat3::from_cols(a * na, b * nb, c * nc);
        let cell = Cell { vectors, periodic: self.cell.periodic };
        Self { cell, species: self.species.repeat(copies), positions }
    }
}
