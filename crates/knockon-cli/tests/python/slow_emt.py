"""Calculators for the tests of `knockon label`: one that takes its time, one that fails for some, one that kills its process."""
import os
import time
import weakref

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT


class SlowEMT(EMT):
    def calculate(self, *arguments, **more):
        time.sleep(0.4)
        super().calculate(*arguments, **more)


class Moody(Calculator):
    """Fails for one atom, does not converge for two, gives NaN for three, dies for four, works for more."""
    implemented_properties = ['energy', 'forces', 'stress']
    seconds = 0

    def calculate(self, atoms=None, properties=('energy',), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        n = len(atoms)
        if n == 1:
            raise RuntimeError('no, thanks')
        if n == 4:
            os._exit(3)
        if n > 4:
            time.sleep(self.seconds)
        self.converged = n != 2
        self.results = {'energy': float('nan') if n == 3 else 1.0, 'forces': np.zeros((n, 3)), 'stress': np.zeros(6)}


class SlowMoody(Moody):
    """Takes its time for what works."""
    seconds = 3


class Large(EMT):
    """Holds itself in a circle, as GPAW does, and bears no other of its kind in memory."""
    alive = weakref.WeakSet()

    def __init__(self, **parameters):
        if self.alive:
            raise MemoryError('the calculator of the configuration before is still there')
        super().__init__(**parameters)
        self.circle = self
        self.alive.add(self)
