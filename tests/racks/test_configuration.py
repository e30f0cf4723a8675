"""A wrong line in either file is named, with the physical reason."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from qpuflow.domain.errors import InputError
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.config.quantify_files import import_device_file
from qpuflow.drivers.qblox.config.rack import check_configuration
from qpuflow.drivers.qblox.config.yaml_lines import Document
from qpuflow.drivers.qblox.rack_file import SHIPPED, configuration_of, load_rack, write_example
from qpuflow.drivers.qblox.settings import RackSettings

DEVICE = (SHIPPED.parent / "device.yml").read_text()
HARDWARE = (SHIPPED.parent / "hardware.yml").read_text()


def check(device: str = DEVICE, hardware: str = HARDWARE) -> Configuration:
    return check_configuration(Document(device, "device.yml"), Document(hardware, "hardware.yml"))


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_the_shipped_rack_is_sound() -> None:
    found = check()
    assert list(found.device.qubits) == ["q0", "q1", "q2", "q3", "q4"]
    assert [c.qubits for c in found.device.couplings][-1] == ("q3", "q4")
    assert set(load_rack(SHIPPED).dummy.clouds) == set(found.device.qubits)  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("amplitude_180: 0.18", "amplitude_180: 1.8", "full scale"),
        ("duration_seconds: 20.0e-9, motzoi: 0.06", "duration_seconds: 2.0e-9", "one instruction"),
        ("duration_seconds: 20.0e-9, motzoi: 0.07", "duration_seconds: 20.5e-9", "whole number of"),
        ("integration_seconds: 1.0e-6", "integration_seconds: 0.2e-6", "at most once in 300"),
        ("      threshold: 0.01167", "      treshold: 0.01167", "treshold: there is no such field"),
        ("qubits: [q2, q3]", "qubits: [q2, q9]", "There is no qubit 'q9'"),
        ("qubits: [q2, q3]", "qubits: [q1, q2]", "q1 and q2 are coupled already"),
        ("qubits: [q2, q3]", "qubits: [q4, q2]", "no output is connected to its flux line q4:fl"),
        ("error: 0.006", "error: six", "error: Input should be a valid number"),
        ("  q1:\n", "  q1: 5\n  q7:\n", "q1"),
    ],
)
def test_a_wrong_line_of_the_device_file_is_named(old: str, new: str, words: str) -> None:
    with pytest.raises(InputError, match=f"(?i){words}") as caught:
        check(device=DEVICE.replace(old, new, 1))
    assert caught.value.where is not None
    name, _, line = caught.value.where.partition(":")
    assert name == "device.yml"
    assert abs(int(line) - line_of(DEVICE, old)) <= 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"q3:mw-q3.01": {interm_freq: -100.0e+6}', "", "Neither lo_freq nor interm_freq.*q3:mw"),
        ("interm_freq: -100.0e+6", "interm_freq: -700.0e+6", "the converters reach 500 MHz"),
        ("interm_freq: -100.0e+6", "lo_freq: 9.9e+9", "5000 MHz from the oscillator"),
        ("interm_freq: -100.0e+6", "interm_freq: 1.0e+8, lo_freq: 5.1e+9", "make 5.2 GHz"),
        ("lo_freq: 7.26e+9", "lo_freq: 7.36e+9", "one oscillator"),
        ("module2.complex_output_0", "module3.complex_output_0", "No module in slot 3"),
        ("module2.complex_output_0", "module2.complex_output_2", "QCM_RF has 2 outputs"),
        ("module2.complex_output_0", "module2.real_output_0", "a QCM_RF mixes"),
        ("cluster0.module2.complex", "cluster1.module2.complex", "There is no cluster 'cluster1'"),
        ("module8.complex_output_0", "module6.complex_output_1", "cannot acquire"),
        ('"q4:res"]', '"q9:res"]', "The device file has no qubit 'q9'"),
        ('    - [cluster0.module8.complex_output_0, "q2:res"]\n', "", "nothing can readout q2"),
        ('"q0:mw-q0.01": 10', '"q0:mw-q0.01": 11', "steps of 2"),
        ('"q0:mw-q0.01": 10', '"q9:mw-q9.01": 10', "nothing is connected to q9:mw"),
        ('"q0:mw-q0.01": 10', '"q0:mw-q0.1": 10', "q0:mw has no clock 'q0.1', only q0.01"),
        ('real_output_1, "q1:fl"', 'real_output_0, "q1:fl"', "is q0:fl's: what moves one"),
        ('real_output_1, "q1:fl"', 'real_output_1, "q0:fl"', "q0:fl is connected to module10"),
        ("      8: {instrument_type", "      21: {instrument_type", "less than or equal to 20"),
        ("instrument_type: QRM_RF", "instrument_type: QRM_XF", "Input should be 'QCM'"),
    ],
)
def test_a_wrong_line_of_the_hardware_file_is_named(old: str, new: str, words: str) -> None:
    assert old in HARDWARE
    with pytest.raises(InputError, match=f"(?i){words}") as caught:
        check(hardware=HARDWARE.replace(old, new, 1))
    assert (caught.value.where or "").startswith("hardware.yml:")


def test_the_line_of_a_slot_is_named() -> None:
    wrong = "      21: {instrument_type"
    with pytest.raises(InputError) as caught:
        check(hardware=HARDWARE.replace("      8: {instrument_type", wrong))
    assert caught.value.where == f"hardware.yml:{line_of(HARDWARE, '      8: {')}"


def test_the_files_of_the_guide_go_together() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "racks.md").read_text()
    hardware, device = re.findall(r"^```yaml\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    both = check(device, hardware)
    assert both.hardware.cluster.ip is not None
    (settings,) = re.findall(r"^```toml\n(name = .*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert RackSettings.model_validate(tomllib.loads(settings)).name == "chip-7"


def test_what_is_no_yaml_is_named_by_its_line() -> None:
    with pytest.raises(InputError, match="No YAML") as caught:
        check(device=DEVICE.replace("qubits:", "qubits: ["))
    assert (caught.value.where or "").startswith("device.yml:")
    with pytest.raises(InputError, match="stands here and in line"):
        check(device=DEVICE.replace("  q1:", "  q0:"))
    with pytest.raises(InputError, match="empty"):
        check(device="\n")


def test_a_rack_file_names_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "rack.toml"
    with pytest.raises(InputError, match="cannot be read"):
        load_rack(file)
    file.write_text(SHIPPED.read_text().replace('"quantify"', '"presto"'))
    with pytest.raises(InputError, match=r"executor.*'quantify' or 'qblox'"):
        load_rack(file)
    file.write_text(SHIPPED.read_text().replace("executor", "exekutor"))
    with pytest.raises(InputError, match="exekutor: there is no such field"):
        load_rack(file)


@pytest.fixture
def rack(tmp_path: Path) -> Path:
    return write_example(tmp_path / "chip-7")


def test_a_new_rack_is_a_dummy_of_its_own_name_and_overwrites_none(rack: Path) -> None:
    settings = load_rack(rack)
    assert settings.name == "chip-7"
    assert rack.parent.stat().st_mode & 0o077 == 0
    assert configuration_of(settings) == check()
    rack.write_text("mine")
    with pytest.raises(InputError, match="there already, and stays"):
        write_example(rack.parent)
    assert rack.read_text() == "mine"
    with pytest.raises(InputError, match="cannot be the name of a QPU"):
        write_example(rack.parent.parent / "Chip_7")


def test_real_instruments_have_an_address_and_a_dummy_has_clouds(rack: Path) -> None:
    settings = load_rack(rack)
    assert settings.dummy is not None
    real = settings.model_copy(update={"dummy": None})
    with pytest.raises(InputError, match="No address is given for cluster0") as caught:
        configuration_of(real)
    assert (caught.value.where or "").endswith(f"hardware.yml:{line_of(HARDWARE, 'cluster0')}")
    settings.hardware_file.write_text(
        HARDWARE.replace("ref: internal", "ref: internal\n    ip: 192.0.2.7")
    )
    assert configuration_of(real).hardware.cluster.ip == "192.0.2.7"
    clouds = {name: one for name, one in settings.dummy.clouds.items() if name != "q3"}
    dummy = settings.dummy.model_copy(update={"clouds": clouds})
    with pytest.raises(InputError, match="where the states of q3 lie") as caught:
        configuration_of(settings.model_copy(update={"dummy": dummy}))
    assert (caught.value.where or "").endswith(f"device.yml:{line_of(DEVICE, '  q3:')}")


QUANTIFY_FILE = """
q0:
  element_type: {path: quantify_scheduler.BasicTransmonElement, args: [q0]}
  rxy: {amp180: 0.12, motzoi: 0.1, duration: 2.0e-08}
  clock_freqs: {f01: 5.1e+09, f12: .nan, readout: "7300000000.0"}
  measure: {pulse_amp: 0.05, pulse_duration: 1.5e-06, acq_delay: 1.0e-07,
            integration_time: 1.2e-06, acq_rotation: 33.0, acq_threshold: 0.002}
  reset: {duration: 1.5e-04}
q1:
  rxy: {amp180: 0.2, motzoi: 0.0}
  clock_freqs: {f01: 5.2e+09, readout: 7.4e+09}
  measure: {pulse_amp: 0.05, pulse_duration: 1.5e-06, integration_time: 1.2e-06}
q0_q1:
  element_type: {path: quantify_scheduler.CompositeSquareEdge, args: [q0, q1]}
  cz: {square_amp: 0.31, square_duration: 4.0e-08, q0_phase_correction: 12, q1_phase_correction: -3}
"""


def test_a_device_file_of_quantify_scheduler_is_taken_over() -> None:
    chip = import_device_file(Document(QUANTIFY_FILE, "quantify.device.yml"))
    first, second = chip.qubits.values()
    assert first.frequencies.readout_hz == 7.3e9
    assert first.frequencies.f12_hz is None
    assert (first.drive.amplitude_180, first.drive.motzoi) == (0.12, 0.1)
    assert (first.readout.rotation_degrees, first.readout.threshold) == (33.0, 0.002)
    assert first.reset_seconds == 1.5e-4
    assert second.drive.duration_seconds == 20e-9
    assert chip.couplings[0].qubits == ("q0", "q1")
    assert chip.couplings[0].cz.phases_degrees == (12.0, -3.0)


QPI_HARDWARE = """{
  "config_type": "quantify_scheduler.backends.qblox_backend.QbloxHardwareCompilationConfig",
  "version": "0.2",
  "hardware_description": {"cluster": {
    "instrument_type": "Cluster", "ref": "internal", "ip": "192.0.2.2",
    "modules": {"2": {"instrument_type": "QCM_RF"}, "6": {"instrument_type": "QCM"},
                "8": {"instrument_type": "QRM_RF"}}}},
  "hardware_options": {"modulation_frequencies": {
    "q0:mw-q0.01": {"interm_freq": 100e6}, "q1:mw-q1.01": {"interm_freq": 100e6},
    "q0:res-q0.ro": {"lo_freq": 7.35e9}, "q1:res-q1.ro": {"lo_freq": 7.35e9}},
    "mixer_corrections": {"q0:mw-q0.01": {"dc_offset_i": 0.0}}},
  "connectivity": {"graph": [
    ["cluster.module2.complex_output_0", "q0:mw"], ["cluster.module2.complex_output_1", "q1:mw"],
    ["cluster.module8.complex_output_0", "q0:res"], ["cluster.module8.complex_output_0", "q1:res"],
    ["cluster.module6.real_output_0", "q0:fl"]]}
}"""


def test_both_files_of_a_lab_that_leaves_qpi_work_together() -> None:
    chip = import_device_file(Document(QUANTIFY_FILE, "quantify.device.yml"))
    both = check(yaml.safe_dump(chip.model_dump(mode="json", exclude_none=True)), QPI_HARDWARE)
    assert both.hardware.cluster.ip == "192.0.2.2"
    given = both.hardware.for_scheduler("theirs")
    assert given["config_type"] == "theirs"
    assert given["hardware_options"]["mixer_corrections"] == {"q0:mw-q0.01": {"dc_offset_i": 0.0}}
    with pytest.raises(InputError, match="no module in slot 4") as caught:
        check(
            yaml.safe_dump(chip.model_dump(mode="json", exclude_none=True)),
            QPI_HARDWARE.replace("module2.complex_output_1", "module4.complex_output_1"),
        )
    line = line_of(QPI_HARDWARE, "complex_output_1")
    assert caught.value.where == f"hardware.yml:{line}"


def test_when_a_chip_was_calibrated_is_a_time_in_some_zone() -> None:
    for words in ("last Tuesday", "2026-11-20 12:00"):
        with pytest.raises(InputError, match="calibrated") as caught:
            check(DEVICE.replace("2026-11-20T12:00:00Z", words, 1))
        assert caught.value.where == f"device.yml:{line_of(DEVICE, 'calibrated: ')}"
        assert f"{words} is no time with its zone" in caught.value.what
    unknown = check(DEVICE.replace("2026-11-20T12:00:00Z", '""', 1))
    assert unknown.device.calibrated is None
    found = check(DEVICE.replace("2026-11-20T12:00:00Z", "2026-11-20T12:00:00+02:00", 1))
    assert found.device.calibrated == datetime(2026, 11, 20, 10, tzinfo=UTC)


def test_what_such_a_file_lacks_is_named_at_its_element() -> None:
    broken = QUANTIFY_FILE.replace("amp180: 0.2,", "")
    with pytest.raises(InputError, match=r"drive\.amplitude_180") as caught:
        import_device_file(Document(broken, "quantify.device.yml"))
    assert caught.value.where == f"quantify.device.yml:{line_of(broken, 'q1:')}"
