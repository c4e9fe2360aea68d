"""ASE calculators from the settings of `knockon label`. Each is made anew for every configuration: a label depends on nothing else."""
import glob
import importlib
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import tempfile

import gpaw_at_gamma

RYDBERG_EV = 13.605693122990  # CODATA 2022


class Unconverged(Exception):
    """The calculation ended without reaching its convergence criteria."""


class NotUsable(Exception):
    """The code is not set up so that it can run; says what to repair."""


def make(job, kpts, folder):
    """A calculator that writes its files into `folder`."""
    name, settings = job['calculator'], job['settings']
    extra = dict(settings.get('parameters', {}))
    if name.startswith('ase:'):
        extra = {key: in_full(value) for key, value in extra.items()}
        module, _, kind = name[len('ase:'):].rpartition('.')
        return getattr(importlib.import_module(module), kind)(**extra)
    return {'gpaw': gpaw, 'cp2k': cp2k, 'vasp': vasp, 'espresso': espresso}[name](job, settings, extra, tuple(kpts), folder)


def in_full(value):
    """A name of a file or folder with its whole path: calculators work in a folder of their own."""
    return os.path.abspath(value) if isinstance(value, str) and os.path.sep in value and os.path.exists(value) else value


def gpaw(job, settings, extra, kpts, folder):
    if job['gpu']:
        os.environ['GPAW_NEW'] = '1'
        os.environ['GPAW_USE_GPUS'] = '1'
        extra['parallel'] = {**extra.get('parallel', {}), 'gpu': True}
    else:
        gpaw_at_gamma.make_faster()
    from gpaw import GPAW
    return GPAW(mode={'name': 'pw', 'ecut': settings['cutoff_ev']}, xc=settings['xc'], kpts={'size': kpts, 'gamma': True},
                txt=os.path.join(folder, 'log.txt'), **extra)


def cp2k(job, settings, extra, kpts, folder):
    from ase.calculators.cp2k import CP2K
    if kpts != (1, 1, 1):
        raise ValueError(f'the CP2K calculator samples Gamma only, this configuration asks for {kpts}')
    # CP2K's cutoff is that of the density grid.
    return CP2K(xc=settings['xc'], cutoff=settings['cutoff_ev'], stress_tensor=True, directory=folder, label='log', **extra)


def vasp(job, settings, extra, kpts, folder):
    from ase.calculators.vasp import Vasp
    return Vasp(xc=settings['xc'], encut=settings['cutoff_ev'], kpts=kpts, gamma=True, directory=folder, **extra)


PW = 'pw.x'


def espresso(job, settings, extra, kpts, folder):
    from ase.calculators.espresso import Espresso, EspressoProfile
    command = extra.pop('command', PW)
    # pw.x runs in a folder of its own.
    profile = EspressoProfile(command=command, pseudo_dir=os.path.abspath(extra.pop('pseudo_dir')))
    inputs = {section: dict(values) for section, values in extra.pop('input_data', {}).items()}
    inputs.setdefault('system', {}).update(ecutwfc=settings['cutoff_ev'] / RYDBERG_EV, input_dft=settings['xc'])
    inputs.setdefault('control', {}).update(tprnfor=True, tstress=True)
    return Espresso(profile=profile, input_data=inputs, kpts=None if kpts == (1, 1, 1) else kpts, directory=folder, **extra)


# What codes print when they give up but go on.
GAVE_UP = re.compile(r'SCF run NOT converged|convergence NOT achieved|The electronic self-consistency was not achieved')
VERSIONS = {'vasp': re.compile(r'^\s*vasp\.(\d+\.\d+\.\d+)', re.M), 'espresso': re.compile(r'Program PWSCF v\.(\S+)'),
            'cp2k': re.compile(r'CP2K\| version string:\s+CP2K version (\S+)')}
NAMES = {'vasp': 'VASP', 'espresso': 'Quantum ESPRESSO', 'cp2k': 'CP2K', 'gpaw': 'GPAW'}


# The entropy term -TS of the occupations, as codes print it whose ASE energy is the free energy F, and its unit in eV.
MINUS_TS = {'espresso': (re.compile(r'smearing contrib\. \(-TS\)\s*=\s*(\S+) Ry'), RYDBERG_EV),
            'cp2k': (re.compile(r'Electronic entropic energy:\s*(\S+)'), 2 * RYDBERG_EV)}
OTHER_SMEARING = re.compile(r'Methfessel-Paxton smearing|Marzari-Vanderbilt smearing')


def to_zero_smearing(job, folder, energy):
    """The energy at zero smearing, what kind it is (None: unknown), and the free energy if ASE's energy was that."""
    name = job['calculator']
    if name in ('gpaw', 'vasp'):
        return energy, 'sigma->0', None
    if name not in MINUS_TS:
        return energy, None, None
    pattern, unit = MINUS_TS[name]
    minus_ts = 0.0
    for text in outputs(folder):
        found = pattern.findall(text)
        if found and not OTHER_SMEARING.search(text):
            minus_ts = float(found[-1]) * unit
    return energy - minus_ts / 2, 'sigma->0', energy  # the mean of F and F + TS


def check_converged(calculator, folder):
    """Raises Unconverged unless the calculation reached its criteria."""
    if getattr(calculator, 'converged', True) is False:
        raise Unconverged('the calculator says that it has not converged')
    if gave_up(folder):
        raise Unconverged(gave_up(folder))


def gave_up(folder):
    """What the code said when it did not converge, or None."""
    found = (GAVE_UP.search(text) for text in outputs(folder))
    return next((f.group(0) for f in found if f), None)


def outputs(folder):
    """Texts that the code has written."""
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and name.endswith(('.txt', '.out', '.pwo', 'OUTCAR')):
            with open(path, errors='replace') as file:
                yield file.read()


def code(job, folder=None):
    """Name and version of the code, with what is known before or (with `folder`) after a calculation."""
    name = job['calculator']
    if name == 'gpaw':
        return 'GPAW ' + importlib.metadata.version('gpaw')
    if name.startswith('ase:'):
        return f"{name[len('ase:'):].rpartition('.')[2]} of ASE " + importlib.metadata.version('ase')
    for text in outputs(folder) if folder else ():
        found = VERSIONS[name].search(text)
        if found:
            return f'{NAMES[name]} {found.group(1)}'
    return NAMES[name]


TITEL = re.compile(r'TITEL\s*=\s*(.*?)\s*$', re.M)


def pseudopotentials(job, folder=None):
    """Names of the pseudopotentials or PAW sets, as far as the settings, the packages or (with `folder`) the output tell."""
    given = job['settings'].get('pseudopotentials')
    if given:
        return given
    if job['calculator'] == 'gpaw':
        return 'gpaw-data ' + importlib.metadata.version('gpaw-data')
    parameters = job['settings'].get('parameters', {})
    if job['calculator'] == 'espresso':
        return ', '.join(name for _, name in sorted(parameters.get('pseudopotentials', {}).items()))
    if job['calculator'] == 'cp2k':
        return ', '.join(str(parameters.get(key, 'default of ASE')) for key in ('pseudo_potential', 'basis_set'))
    titles = next((found for found in map(TITEL.findall, outputs(folder) if folder else ()) if found), [])
    return ', '.join(titles) or None


def check(job):
    """Fails early, with the reason, if the calculator cannot be made at all, its program is not there, or a setting is missing that
    every calculation needs."""
    name = job['calculator']
    if name == 'gpaw':
        import gpaw  # noqa: F401
        if job['gpu']:
            import cupy  # noqa: F401
    elif name.startswith('ase:'):
        make(job, (1, 1, 1), '.')
    else:
        importlib.import_module(f'ase.calculators.{name}')
        {'vasp': check_vasp, 'cp2k': check_cp2k, 'espresso': check_espresso}[name](job)


def configured(name):
    """What ASE's configuration or the environment says, or None."""
    try:
        from ase.config import cfg
    except ImportError:  # earlier versions of ASE
        return os.environ.get(name)
    return cfg.get(name)


def check_vasp(job):
    parameters = job['settings'].get('parameters', {})
    command = parameters.get('command') or configured('ASE_VASP_COMMAND') or configured('VASP_COMMAND')
    if command:
        check_shell_command(command, 'VASP')
    elif not configured('VASP_SCRIPT'):
        raise NotUsable('expected the command of VASP in the environment as ASE_VASP_COMMAND, or as command in [parameters] of the '
                        'settings, found neither. Give one, for example ASE_VASP_COMMAND="mpirun -n 8 vasp_std"')
    folder = configured('VASP_PP_PATH')
    if folder and not os.path.isdir(folder):
        raise NotUsable(f'VASP_PP_PATH: expected the folder of the pseudopotentials of VASP, found no folder {folder}. Correct it')
    if not folder and not (glob.glob('potpaw*') or 'pp' in parameters):
        raise NotUsable('expected the folder of the pseudopotentials of VASP, which holds potpaw_PBE, in the environment as '
                        'VASP_PP_PATH, found nothing. Set it')


def check_cp2k(job):
    """Starts it, as every label does: this checks the names of the parameters, too."""
    command = job['settings'].get('parameters', {}).get('command') or configured('ASE_CP2K_COMMAND')
    if command:
        check_shell_command(command, 'CP2K')
    try:
        with tempfile.TemporaryDirectory() as folder:
            make(job, (1, 1, 1), folder)
    except Exception as error:
        found = ' '.join(f'{type(error).__name__}: {error}'.split()).rstrip(':')
        raise NotUsable(f'expected CP2K to start, found {found}. Give its command, which ends with -s, in the environment as '
                        'ASE_CP2K_COMMAND or as command in [parameters] of the settings, for example "cp2k.psmp -s"') from error


def check_espresso(job):
    parameters = job['settings'].get('parameters', {})
    command = parameters.get('command', PW)
    program = (shlex.split(command) or [''])[0]
    if not shutil.which(program):
        raise NotUsable(f'expected the program {program} of Quantum ESPRESSO, found none of that name. Give its command as command in '
                        '[parameters] of the settings, for example command = "mpirun -n 8 pw.x", or add its folder to PATH')
    for key, example in (('pseudo_dir', '"/opt/pseudo"'), ('pseudopotentials', '{ O = "O.upf", W = "W.upf" }')):
        if key not in parameters:
            raise NotUsable(f'expected {key} in [parameters] of the settings, found none. Add it, for example {key} = {example}')
    control = parameters.get('input_data', {}).get('control', {})
    folder = os.path.abspath(control.get('pseudo_dir', parameters['pseudo_dir']))
    for name in parameters['pseudopotentials'].values():
        if not os.path.isfile(os.path.join(folder, name)):
            raise NotUsable(f'pseudo_dir: expected the pseudopotential {name} in {folder}, found no such file. Correct pseudo_dir or '
                            'pseudopotentials in [parameters] of the settings')


def check_shell_command(command, code):
    """What is more than a program and its arguments is left to the shell."""
    words = command.split()
    if not words or '=' in words[0] or re.search(r'[^\w\s./,:@%+=-]', command):
        return
    if subprocess.run(['sh', '-c', 'command -v "$0"', words[0]], stdout=subprocess.DEVNULL).returncode != 0:
        raise NotUsable(f'expected the program {words[0]}, with which the command of {code} begins, found none of that name. Correct '
                        f'the command "{command}", or add the folder of the program to PATH')
