//! A slow, obvious implementation of the same formulas, against which the fast one is tested: full sums over all
//! matrix elements, square roots in the recursion, no tables, no symmetry, no vectors, and neighbours found by
//! looking at every image of every atom.

use super::coupling::{clebsch_gordan, component_triples};
use super::cutoff_switch::CutoffSwitch;
use super::electrostatic::Electrostatic;
use super::model::{Model, pair_index};
use super::pair_function::pair_function;
use crate::Atoms;
use crate::units::COULOMB_EV_ANGSTROM;
use glam::DVec3;
use std::f64::consts::PI;

type Complex = [f64; 2];

fn times(a: Complex, b: Complex) -> Complex {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

fn conj(a: Complex) -> Complex {
    [a[0], -a[1]]
}

/// The matrices of all layers: `u[l][mb][ma]`.
type Layers = Vec<Vec<Vec<Complex>>>;

fn zeros(two_j_max: usize) -> Layers {
    (0..=two_j_max).map(|l| vec![vec![[0.0; 2]; l + 1]; l + 1]).collect()
}

/// Wigner functions by the recursion with square roots (Varshalovich 4.8.2, in LAMMPS' index convention).
fn wigner(two_j_max: usize, a: Complex, b: Complex) -> Layers {
    let mut u = zeros(two_j_max);
    u[0][0][0] = [1.0, 0.0];
    for l in 1..=two_j_max {
        for mb in 0..=l {
            for ma in 0..=l {
                let mut sum = [0.0; 2];
                let mut add = |factor: f64, c: Complex, value: Complex| {
                    let product = times(c, value);
                    sum[0] += factor * product[0];
                    sum[1] += factor * product[1];
                };
                // Rows up to the middle come from the row with the same mb, the others from the row mb - 1.
                if mb < l {
                    let n = (l - mb) as f64;
                    if ma < l {
                        add(((l - ma) as f64 / n).sqrt(), conj(a), u[l - 1][mb][ma]);
                    }
                    if ma > 0 {
                        add(-(ma as f64 / n).sqrt(), conj(b), u[l - 1][mb][ma - 1]);
                    }
                } else {
                    let n = mb as f64;
                    if ma < l {
                        add(((l - ma) as f64 / n).sqrt(), b, u[l - 1][mb - 1][ma]);
                    }
                    if ma > 0 {
                        add((ma as f64 / n).sqrt(), a, u[l - 1][mb - 1][ma - 1]);
                    }
                }
                u[l][mb][ma] = sum;
            }
        }
    }
    u
}

/// All neighbours of an atom within the model's cutoff: species index and vector.
pub(super) fn environment(model: &Model, atoms: &Atoms, atom: usize) -> Vec<(usize, DVec3)> {
    let species = model.species();
    let index = |other: usize| species.iter().position(|s| *s == atoms.species[other]).unwrap();
    images(model, atoms, atom).into_iter().map(|(other, vector)| (index(other), vector)).collect()
}

/// The same with the numbers of the atoms that they are images of.
fn images(model: &Model, atoms: &Atoms, atom: usize) -> Vec<(usize, DVec3)> {
    let reach = model.cutoff_angstrom();
    let faces = atoms.cell.face_distances_angstrom();
    let span = |axis: usize, faces: f64| {
        if atoms.cell.periodic.test(axis) { (reach / faces).ceil() as i32 + 1 } else { 0 }
    };
    let [na, nb, nc] = [span(0, faces.x), span(1, faces.y), span(2, faces.z)];
    let mut found = Vec::new();
    for (other, position) in atoms.positions.iter().enumerate() {
        for i in -na..=na {
            for j in -nb..=nb {
                for k in -nc..=nc {
                    let shift = atoms.cell.vectors * DVec3::new(f64::from(i), f64::from(j), f64::from(k));
                    let vector = *position + shift - atoms.positions[atom];
                    if vector.length() < reach && !(other == atom && (i, j, k) == (0, 0, 0)) {
                        found.push((other, vector));
                    }
                }
            }
        }
    }
    found
}

/// Bispectrum components of one environment in one channel.
pub(super) fn components(model: &Model, central: usize, channel: usize, neighbors: &[(usize, DVec3)]) -> Vec<f64> {
    let m = &model.many_body;
    let mut u = zeros(m.two_j_max);
    for (l, matrix) in u.iter_mut().enumerate() {
        for (k, row) in matrix.iter_mut().enumerate().take(l + 1) {
            row[k][0] = m.self_weight;
        }
    }
    for (species, d) in neighbors {
        let radii = model.central[central].radius + model.central[*species].radius;
        let cutoff = m.channel_cutoff_angstrom(channel) * radii;
        let r = d.length();
        if r >= cutoff {
            continue;
        }
        let mut f = match m.cutoff_switch {
            CutoffSwitch::Cosine => 0.5 * ((PI * r / cutoff).cos() + 1.0),
            CutoffSwitch::Quintic => {
                let t = r / cutoff;
                1.0 - 10.0 * t.powi(3) + 15.0 * t.powi(4) - 6.0 * t.powi(5)
            }
        };
        if let Some(s) = m.inner_switch {
            let t = ((r - s.start_angstrom) / (s.end_angstrom - s.start_angstrom)).clamp(0.0, 1.0);
            f *= 0.5 * (1.0 - (PI * t).cos());
        }
        let theta = PI * m.angle_fraction * r / cutoff;
        let s = theta.sin() / r;
        let wigner = wigner(m.two_j_max, [theta.cos(), -s * d.z], [s * d.y, -s * d.x]);
        let weight = f * model.central[*species].channel_weights[channel];
        for (sum, value) in u.iter_mut().flatten().flatten().zip(wigner.iter().flatten().flatten()) {
            sum[0] += weight * value[0];
            sum[1] += weight * value[1];
        }
    }
    component_triples(m.two_j_max).into_iter().map(|[l1, l2, l]| component(&u, l1, l2, l)).collect()
}

fn component(u: &Layers, l1: usize, l2: usize, l: usize) -> f64 {
    let mut sum = 0.0;
    let offset = (l1 + l2 - l) / 2;
    let project = |m: usize, l: usize| 2 * m as i32 - l as i32;
    let coupling = |m1: usize, m2: usize, m: usize| {
        clebsch_gordan(l1 as i32, project(m1, l1), l2 as i32, project(m2, l2), l as i32, project(m, l))
    };
    for mb in 0..=l {
        for ma in 0..=l {
            let mut z = [0.0; 2];
            for mb1 in 0..=l1 {
                for ma1 in 0..=l1 {
                    let partner = |m: usize, m1: usize| (m + offset).checked_sub(m1).filter(|m2| *m2 <= l2);
                    let (Some(mb2), Some(ma2)) = (partner(mb, mb1), partner(ma, ma1)) else { continue };
                    let c = coupling(mb1, mb2, mb) * coupling(ma1, ma2, ma);
                    let product = times(u[l1][mb1][ma1], u[l2][mb2][ma2]);
                    z = [z[0] + c * product[0], z[1] + c * product[1]];
                }
            }
            sum += times(conj(u[l][mb][ma]), z)[0];
        }
    }
    sum
}

/// Charges and responses of one atom.
fn electrostatic_energy_ev(electrostatic: &Electrostatic, central: usize, neighbors: &[(usize, DVec3)]) -> f64 {
    let (shape, n) = (&electrostatic.shape, electrostatic.responses.len());
    let product = |other: usize| electrostatic.charges[pair_index(central, other, n)].product;
    let charges: f64 = neighbors.iter().map(|(s, d)| 0.5 * product(*s) * shape.energy(d.length())[0]).sum();
    // Every pair of neighbours by itself.
    let field = |d: &DVec3| d.normalize() * shape.field(d.length())[0];
    let mut responses = 0.0;
    for (a, from_a) in neighbors {
        for (b, from_b) in neighbors {
            let p = electrostatic.responses[central].coefficients_angstrom3[pair_index(*a, *b, n)];
            // Two species: both orders are one term.
            let share = if a == b { 1.0 } else { 0.5 };
            responses += share * p * field(from_a).dot(field(from_b));
        }
    }
    charges + COULOMB_EV_ANGSTROM * responses
}

/// What induced dipoles add to the energy of one atom.
fn dipole_energy_ev(model: &Model, electrostatic: &Electrostatic, atoms: &Atoms, atom: usize) -> f64 {
    let Some(dipoles) = &electrostatic.dipoles else { return 0.0 };
    let (shape, species) = (&electrostatic.shape, model.species());
    let (n, index) = (species.len(), |i: usize| species.iter().position(|s| *s == atoms.species[i]).unwrap());
    let dipole = |i: usize| -> DVec3 {
        let field = |(s, d): (usize, DVec3)| d.normalize() * (shape.dipole_charges_e[s] * shape.field(d.length())[0]);
        environment(model, atoms, i).into_iter().map(field).sum()
    };
    // The derivative of a radial field: its slope along the vector, the field over the distance across it.
    let of_neighbor = |(other, d): &(usize, DVec3)| {
        let ([field, slope, _], p, along) = (shape.field(d.length()), dipole(*other), d.normalize());
        let parallel = along * along.dot(p);
        (index(*other), parallel * slope + (p - parallel) * (field / d.length()))
    };
    let fields: Vec<(usize, DVec3)> = images(model, atoms, atom).iter().map(of_neighbor).collect();
    let (central, own) = (index(atom), dipole(atom));
    let mut energy = 0.0;
    for (a, from_a) in &fields {
        energy += 0.5 * dipoles.products[pair_index(central, *a, n)].product_angstrom6 * own.dot(*from_a);
        for (b, from_b) in &fields {
            let share = if a == b { 1.0 } else { 0.5 };
            let s = dipoles.responses[central].coefficients_angstrom9[pair_index(*a, *b, n)];
            energy += share * s * from_a.dot(*from_b);
        }
    }
    COULOMB_EV_ANGSTROM * energy
}

/// Energy of each atom in eV.
pub(super) fn energies_ev(model: &Model, atoms: &Atoms) -> Vec<f64> {
    let species = model.species();
    (0..atoms.len())
        .map(|atom| {
            let central = species.iter().position(|s| *s == atoms.species[atom]).unwrap();
            let neighbors = environment(model, atoms, atom);
            let mut energy = model.central[central].intercept_ev;
            for (channel, coefficients) in model.central[central].coefficients_ev.iter().enumerate() {
                let components = components(model, central, channel, &neighbors);
                energy += components.iter().zip(coefficients).map(|(b, c)| b * c).sum::<f64>();
            }
            if let Some(similarity) = &model.central[central].similarity {
                let all: Vec<f64> =
                    (0..model.n_channels()).flat_map(|c| components(model, central, c, &neighbors)).collect();
                let z = similarity.coordinates(&all);
                for (reference, coefficient) in similarity.references.iter().zip(&similarity.coefficients_ev) {
                    let square: f64 = z.iter().zip(reference).map(|(z, r)| (z - f64::from(*r)).powi(2)).sum();
                    energy += coefficient * (-0.5 * square).exp();
                }
            }
            if let Some(term) = &model.pair {
                for (other, d) in &neighbors {
                    let pair = &term.pairs[pair_index(central, *other, species.len())];
                    let both = [species[central], species[*other]];
                    energy += 0.5 * pair_function(term, both, &pair.coefficients_ev, d.length())[0];
                }
            }
            if let Some(electrostatic) = &model.electrostatic {
                energy += electrostatic_energy_ev(electrostatic, central, &neighbors);
                energy += dipole_energy_ev(model, electrostatic, atoms, atom);
            }
            energy
        })
        .collect()
}
