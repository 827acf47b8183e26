"""What a run is: everything the user can set, from a TOML file or from flags, checked once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from kvassay.errors import ConfigError
from kvassay.units import tokens


def split(value: object) -> object:
    """``"a,b"`` as a list; anything else as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Tokens = Annotated[int, BeforeValidator(tokens), Field(gt=0, le=8 * 1024 * 1024)]
Names = Annotated[tuple[str, ...], BeforeValidator(split)]
Levels = Annotated[tuple[Annotated[int, Field(ge=1, le=3)], ...], BeforeValidator(split), Field(min_length=1)]
Depths = Annotated[
    tuple[Tokens, ...],
    Field(min_length=1),
    BeforeValidator(split),
    AfterValidator(lambda depths: tuple(sorted(set(depths)))),
]


class ReplaySettings(BaseModel):
    """Which recorded session is asked again: ``turns`` of it spread over depth, or the one ``turn``, once greedily and
    ``seeds`` times at a ``temperature``. ``redact`` masks secrets and names before anything is asked or stored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str = Field(min_length=1)
    turns: int = Field(default=24, ge=1, le=1000)
    turn: int | None = Field(default=None, ge=1)
    seeds: int = Field(default=10, ge=1, le=1000)
    temperature: float = Field(default=0.8, gt=0, le=2)
    redact: bool = False


class RunSettings(BaseModel):
    """One run. Pairs are written ``K/V`` in the back end's own type names; token counts are the model's own tokens.

    One ``pair`` alone is isolated: K alone, V alone, both. Several pairs, or ``k_types`` × ``v_types``, run as given.
    A back end that isn't named is the one that the other settings speak of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    backend: Literal["embedded", "llama-server", "attach"] = "embedded"
    server_binary: str | None = None
    server_args: tuple[str, ...] = ()
    attach: Names = ()

    pairs: Names = ()
    k_types: Names = ()
    v_types: Names = ()
    reference: str = "f16/f16"
    control: str | None = None
    isolate: bool = True
    repeat: bool = True

    depths: Depths = (2048, 8192)
    families: Names = ()
    probes_per_family: int = Field(default=8, ge=1, le=1000)
    levels: Levels = (1, 2)
    suite: Path | None = None
    tools: Path | None = None
    corpus: Path | None = None
    seed: int = Field(default=0, ge=0, lt=2**31)

    channels: Names = ("raw", "parsed")
    parsed_share: float = Field(default=0.2, ge=0, le=1)
    dialect: str = "auto"
    max_tokens: int = Field(default=256, ge=16, le=32768)
    top_n: int = Field(default=20, ge=0, le=100)

    context: Tokens | None = None
    threads: int | None = Field(default=None, ge=1)
    gpu_layers: int | None = Field(default=None, ge=0)
    flash_attention: Literal["auto", "on", "off"] = "auto"
    port: int | None = Field(default=None, ge=1, le=65535)

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    margin: float = Field(default=0.05, gt=0, lt=1)
    stopping: Literal["anytime", "fixed"] = "anytime"
    evidence_probes: int = Field(default=6, ge=0, le=1000)
    replay: ReplaySettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _backend_implied(cls, values: dict[str, object]) -> dict[str, object]:
        own = values.get("server_binary") or values.get("server_args")
        implied = "attach" if values.get("attach") else "llama-server" if own else "embedded"
        return {"backend": implied, **values}

    @model_validator(mode="after")
    def _backend_suits(self) -> RunSettings:
        if bool(self.attach) != (self.backend == "attach"):
            msg = f"backend = {self.backend!r}, attach = {list(self.attach)!r}: give both or neither (--attach K/V=URL)"
            raise ValueError(msg)
        if (self.server_binary or self.server_args) and self.backend != "llama-server":
            msg = f"backend = {self.backend!r} takes no server binary or flags of yours; llama-server does"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _channels_known(self) -> RunSettings:
        wrong = [name for name in self.channels if name not in ("raw", "parsed")]
        if wrong or not self.channels:
            msg = f"channels: {wrong or list(self.channels)!r}: name raw, parsed or both (raw,parsed)"
            raise ValueError(msg)
        return self


def check(values: dict[str, object]) -> RunSettings:
    """Settings from plain values. Raises ConfigError naming each field, its value and what is wrong."""
    try:
        return RunSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_sentence(error), hint="See 'kvassay run --help'.") from None


def _sentence(error: ValidationError) -> str:
    def one(item: object) -> str:
        assert isinstance(item, dict)  # noqa: S101  pydantic's documented shape
        where = ".".join(str(part) for part in item["loc"])
        what = str(item["msg"]).removeprefix("Value error, ")
        return f"{where} = {item['input']!r}: {what}" if where else what

    return "\n".join(one(item) for item in error.errors())


def read(path: Path) -> dict[str, object]:
    """The values of a TOML settings file, keys as in RunSettings with ``-`` or ``_``. Raises ConfigError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"settings file {str(path)!r} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {str(path)!r} is not TOML: {error}") from None
    return {key.replace("-", "_"): value for key, value in data.items()}
