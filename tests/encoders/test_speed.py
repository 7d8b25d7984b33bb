"""How fast an encoder hears a recording: a device's band fills the band of a speech encoder."""

from __future__ import annotations

import numpy as np
import pytest

from acula_edge.contract import AudioContract
from acula_edge.encoders.registry import empty
from acula_edge.encoders.teacher_model import hear_clips

STETHOSCOPE = AudioContract()  # 4 kHz, mels up to 2 kHz
WIDE = AudioContract(sample_rate_hz=16000, n_fft=1024, window_samples=1024, hop_samples=512, f_max_hz=8000.0)


@pytest.mark.parametrize(
    ("name", "contract", "speed", "input_hz"),
    [
        ("whisper-base-3", STETHOSCOPE, 4.0, 4000),  # 8000 Hz over 2000 Hz
        ("openwakeword", STETHOSCOPE, 1.9, 8421),  # 3800 Hz over 2000 Hz
        ("whisper-base-3", WIDE, 1.0, 16000),
        ("openwakeword", WIDE, 1.0, 16000),  # never slower than it is
        ("opera-ce", STETHOSCOPE, 1.0, 16000),  # it knows lung sounds by their pitch
        ("small", STETHOSCOPE, 1.0, 4000),
    ],
)
def test_the_devices_band_fills_a_speech_encoders(
    name: str, contract: AudioContract, speed: float, input_hz: int
) -> None:
    encoder = empty(name, contract)
    assert encoder.speed == pytest.approx(speed)
    assert encoder.input_rate_hz == input_hz


def test_a_speed_can_be_chosen() -> None:
    assert empty("whisper-base-3", STETHOSCOPE, 2.0).input_rate_hz == 8000


@pytest.mark.parametrize("speed", [1.0, 1.9, 4.0])
def test_pitch_and_length_follow_the_speed(speed: float) -> None:
    encoder = empty("whisper-base-3", STETHOSCOPE, speed)
    time_s = np.arange(STETHOSCOPE.clip_samples) / STETHOSCOPE.sample_rate_hz
    tone = np.round(8000 * np.sin(2 * np.pi * 440.0 * time_s)).astype(np.int16)
    heard = hear_clips(encoder, tone[None], STETHOSCOPE)[0].numpy()
    own_hz = encoder.contract.sample_rate_hz
    assert heard.size == pytest.approx(8.0 / speed * own_hz, abs=1)
    peak = np.abs(np.fft.rfft(heard * np.hanning(heard.size))).argmax()
    assert peak * own_hz / heard.size == pytest.approx(440.0 * speed, rel=2e-3)


def test_at_the_devices_own_rate_the_samples_are_heard_as_they_are() -> None:
    pcm = np.random.default_rng(0).integers(-9000, 9000, (2, STETHOSCOPE.clip_samples)).astype(np.int16)
    heard = hear_clips(empty("whisper-base-3", STETHOSCOPE), pcm, STETHOSCOPE)
    np.testing.assert_array_equal(heard.numpy(), pcm.astype(np.float32) / 32768)
