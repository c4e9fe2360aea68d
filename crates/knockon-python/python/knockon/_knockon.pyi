from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, final

from numpy import bool_, float64
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "DetectedSpectrum",
    "Events",
    "Potential",
    "RecoilSpectrum",
    "Response",
    "__version__",
    "capture",
    "cevns",
    "dark_matter",
]
__version__: str

_Array = NDArray[float64]

@final
class Response:
    @staticmethod
    def load(name_or_file: str | PathLike[str]) -> Response: ...
    @staticmethod
    def from_json(text: str) -> Response: ...
    def to_json(self) -> str: ...
    def __reduce__(self) -> tuple[Any, tuple[str]]: ...
    @property
    def name(self) -> str: ...
    @property
    def species(self) -> str: ...
    @property
    def crystal(self) -> str | None: ...
    @property
    def caption(self) -> str: ...
    @property
    def content_hash(self) -> str: ...
    @property
    def data_range_ev(self) -> tuple[float, float]: ...
    @property
    def usable_range_ev(self) -> tuple[float, float]: ...
    def defect_probability(self, energies_ev: ArrayLike) -> _Array: ...
    def mean_stored_energy_ev(self, energies_ev: ArrayLike) -> _Array: ...
    def sample(self, energies_ev: ArrayLike, seed: int) -> _Array: ...
    def simulate(
        self,
        energies_ev: ArrayLike,
        seed: int,
        *,
        resolution_ev: float = ...,
        resolution_slope: float = ...,
        threshold_ev: float | None = None,
        threshold_width_ev: float | None = None,
        plateau: float | None = None,
        efficiency: tuple[ArrayLike, ArrayLike] | None = None,
        efficiency_of: Literal["measured", "deposited"] = ...,
        calibration: Literal["electron-recoils", "capture-peak"] = ...,
    ) -> Events: ...
    def fold(
        self,
        edges_ev: ArrayLike,
        counts: ArrayLike | Mapping[str, ArrayLike],
        *,
        errors: ArrayLike | Mapping[str, ArrayLike] | None = None,
        also: Sequence[Response] = ...,
        resolution_ev: float = ...,
        resolution_slope: float = ...,
        threshold_ev: float | None = None,
        threshold_width_ev: float | None = None,
        plateau: float | None = None,
        efficiency: tuple[ArrayLike, ArrayLike] | None = None,
        efficiency_of: Literal["measured", "deposited"] = ...,
        calibration: Literal["electron-recoils", "capture-peak"] = ...,
    ) -> DetectedSpectrum: ...

@final
class Events:
    @property
    def recoil_energy_ev(self) -> _Array: ...
    @property
    def stored_energy_ev(self) -> _Array: ...
    @property
    def measured_energy_ev(self) -> _Array: ...
    @property
    def triggered(self) -> NDArray[bool_]: ...
    def columns(self) -> dict[str, NDArray[Any]]: ...
    def __len__(self) -> int: ...

@final
class DetectedSpectrum:
    @property
    def energy_low_ev(self) -> _Array: ...
    @property
    def energy_high_ev(self) -> _Array: ...
    @property
    def uncorrected(self) -> _Array: ...
    @property
    def corrected(self) -> _Array: ...
    @property
    def corrected_error(self) -> _Array | None: ...
    @property
    def corrected_low(self) -> _Array: ...
    @property
    def corrected_high(self) -> _Array: ...
    @property
    def ratio(self) -> _Array: ...
    @property
    def ratio_low(self) -> _Array: ...
    @property
    def ratio_high(self) -> _Array: ...
    @property
    def uncorrected_elements(self) -> list[str]: ...
    @property
    def complete_from_ev(self) -> float | None: ...
    @property
    def complete_up_to_ev(self) -> float | None: ...
    @property
    def conservation_error(self) -> float: ...
    @property
    def convergence_error(self) -> float: ...
    @property
    def calibration_scale(self) -> float: ...
    def columns(self) -> dict[str, _Array]: ...

@final
class RecoilSpectrum:
    @property
    def energies_ev(self) -> _Array: ...
    @property
    def edges_ev(self) -> _Array: ...
    @property
    def unit(self) -> str: ...
    @property
    def rate(self) -> _Array: ...
    @property
    def rate_by_element(self) -> dict[str, _Array]: ...
    @property
    def parameters(self) -> dict[str, Any]: ...
    def counts(self, exposure: float) -> dict[str, _Array]: ...
    def columns(self) -> dict[str, _Array]: ...

def dark_matter(
    energies_ev: ArrayLike,
    *,
    target: str = "CaWO4",
    mass_gev: float = ...,
    cross_section_cm2: float = ...,
    rho_gev_cm3: float = ...,
    v0_km_s: float = ...,
    vesc_km_s: float = ...,
    v_earth_km_s: float = ...,
    day_of_year: float | None = None,
    resolution_ev: float = ...,
) -> RecoilSpectrum: ...
def cevns(
    energies_ev: ArrayLike,
    *,
    target: str = "CaWO4",
    cores: Sequence[tuple[float, float]] | None = None,
    duty: float = ...,
    fission_fractions: Sequence[float] | None = None,
    u238_captures: float = ...,
    sin2_theta_w: float = ...,
    resolution_ev: float = ...,
) -> RecoilSpectrum: ...
def capture(
    energies_ev: ArrayLike,
    *,
    evaluation: str = "egaf-lanl",
    lines_only: bool = False,
    slowing_down: float | str | None = None,
    conversion_electrons: bool = True,
    crystal_mm: tuple[float, float, float] | None = None,
    captures: int = ...,
    seed: int = ...,
    resolution_ev: float = ...,
) -> RecoilSpectrum: ...
@final
class Potential:
    @staticmethod
    def load(path: str | PathLike[str]) -> Potential: ...
    @staticmethod
    def from_text(text: str) -> Potential: ...
    def __reduce__(self) -> tuple[Any, tuple[str]]: ...
    @property
    def name(self) -> str: ...
    @property
    def content_hash(self) -> str: ...
    @property
    def species(self) -> list[str]: ...
    @property
    def cutoff_angstrom(self) -> float: ...
    def evaluate(
        self,
        atomic_numbers: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike,
        periodic: Sequence[bool],
    ) -> tuple[float, _Array, _Array, _Array | None]: ...
