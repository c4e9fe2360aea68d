"""Wigner-Seitz analysis by OVITO: wigner_seitz.py PERFECT.xyz DAMAGED.xyz

Prints the total numbers of vacancies and interstitials, the number of sites held by other elements only, and for each
element its empty sites and its atoms beyond those that hold a site of their own element.
"""
import json
import sys

from ovito.io import import_file
from ovito.modifiers import WignerSeitzAnalysisModifier
from ovito.pipeline import FileSource

perfect, damaged = sys.argv[1:]
pipeline = import_file(damaged)
modifier = WignerSeitzAnalysisModifier(
    per_type_occupancies=True, affine_mapping=WignerSeitzAnalysisModifier.AffineMapping.ToReference)
modifier.reference = FileSource()
modifier.reference.load(perfect)
pipeline.modifiers.append(modifier)
data = pipeline.compute()
types = data.particles.particle_types
names = {t.id: t.name for t in types.types}
empty, beyond, foreign = dict.fromkeys(names.values(), 0), dict.fromkeys(names.values(), 0), 0
for site, held in zip(types[...], data.particles['Occupancy'][...]):
    held = {names[i + 1]: int(n) for i, n in enumerate(held)}
    own = names[site]
    empty[own] += not sum(held.values())
    foreign += sum(held.values()) > 0 and not held[own]
    for name, n in held.items():
        beyond[name] += n - (name == own and n > 0)
print(json.dumps({'vacancies': int(data.attributes['WignerSeitz.vacancy_count']),
                  'interstitials': int(data.attributes['WignerSeitz.interstitial_count']),
                  'foreign': int(foreign), 'empty': empty, 'beyond': beyond}))
