"""What a run is: everything the user can set, from a TOML file or from flags, checked once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from kvassay.backend.catalog import CATALOG, Row
from kvassay.errors import ConfigError
from kvassay.units import tokens


def split(value: object) -> object:
    """``"a,b"`` as a list; anything else as it is. Raises ValueError for an empty part, as in ``"a,,b"``."""
    if not isinstance(value, str) or not value.strip():
        return [] if isinstance(value, str) else value
    parts = [part.strip() for part in value.split(",")]
    if not all(parts):
        msg = f"{value!r} has an empty part: write values with one comma between them"
        raise ValueError(msg)
    return parts


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
    backend: str = "embedded"
    server_binary: str | None = None
    server_args: tuple[str, ...] = ()
    attach: Names = ()
    serve: str | None = None
    url: str | None = None
    tokenizer: Path | None = None

    pairs: Names = ()
    k_types: Names = ()
    v_types: Names = ()
    k_layers: Names = ()
    v_layers: Names = ()
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
    device: str | None = None
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    margin: float = Field(default=0.05, gt=0, lt=1)
    stopping: Literal["anytime", "fixed"] = "anytime"
    evidence_probes: int = Field(default=6, ge=0, le=1000)
    replay: ReplaySettings | None = None

    turns: int = Field(default=0, ge=0, le=100)  # of closed loops; 0 asks probes
    agent: str = "opencode"

    @model_validator(mode="before")
    @classmethod
    def _backend_implied(cls, values: dict[str, object]) -> dict[str, object]:
        """What isn't named follows from what is: the back end, its usual reference, what it can show at all."""
        own = values.get("server_binary") or values.get("server_args")
        implied = "attach" if values.get("attach") else "llama-server" if own else "embedded"
        row = CATALOG.get(str(values.get("backend", implied)))
        usual: dict[str, object] = {"reference": row.reference} if row else {}
        if row and not row.token_ids:
            usual["top_n"] = 0
        if row and not row.apart:
            usual["isolate"] = False
        if row and row.reach == "in process":
            usual["channels"] = ("raw",)
        return {"backend": implied, **usual, **values}

    @model_validator(mode="after")
    def _backend_suits(self) -> RunSettings:
        if problem := _unsuited(self):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _channels_known(self) -> RunSettings:
        wrong = [name for name in self.channels if name not in ("raw", "parsed")]
        if wrong or not self.channels:
            msg = f"channels: {wrong or list(self.channels)!r}: name raw, parsed or both (raw,parsed)"
            raise ValueError(msg)
        return self


def _unsuited(settings: RunSettings) -> str | None:
    """Why these settings and their back end don't go together; None where they do."""
    row, name = CATALOG.get(settings.backend), settings.backend
    if row is None:
        return f"backend = {name!r}: known are {', '.join(CATALOG)} (see 'kvassay backends')"
    if problem := _served_wrongly(settings) if row.reach == "attached" else _served_at_all(settings):
        return problem
    if problem := _unsuited_in_process(settings, row):
        return problem
    if (settings.server_binary or settings.server_args) and name != "llama-server":
        return f"backend = {name!r} takes no server binary or flags of yours; llama-server does"
    if settings.top_n and not row.token_ids:
        return f"backend = {name!r} lists no log-probabilities by token id: top_n = {settings.top_n} can't be had"
    return None


def _unsuited_in_process(settings: RunSettings, row: Row) -> str | None:
    if row.reach == "in process" and "parsed" in settings.channels:
        return f"channels: parsed: {row.name} runs in process, without a server that parses: raw is all it has"
    if (settings.k_layers or settings.v_layers) and not row.by_layer:
        return f"backend = {row.name!r} takes no types by layer; transformers does"
    if settings.device and row.reach != "in process":
        return f"backend = {row.name!r} takes no device; transformers and exllamav3 do"
    if settings.dtype != "float32" and row.name != "transformers":
        return f"backend = {row.name!r} takes no dtype; transformers does"
    return None


def _served_at_all(settings: RunSettings) -> str | None:
    given = {"attach": list(settings.attach), "serve": settings.serve, "url": settings.url}
    wrong = [f"{name} = {value!r}" for name, value in given.items() if value]
    if settings.attach:
        return f"backend = {settings.backend!r}, {wrong[0]}: give both or neither (--attach K/V=URL)"
    if not wrong:
        return None
    return f"backend = {settings.backend!r} starts its own servers, {wrong[0]} is for those that are yours"


def _served_wrongly(settings: RunSettings) -> str | None:
    given = f"backend = {settings.backend!r}, attach = {list(settings.attach)!r}"
    if settings.serve is None and settings.url is None:
        return None if settings.attach else f"{given}: name the running servers with --attach K/V=URL"
    if settings.backend == "attach":
        return f"{given}: --serve and --url are for other engines; name llama-server's binary with --server instead"
    if settings.serve and settings.url and not settings.attach:
        return None
    return (
        f"{given}, serve = {settings.serve!r}, url = {settings.url!r}: --serve and --url go together, without --attach"
    )


_BY_COMMAND = {"turns": "loops", "agent": "loops", "replay": "replay"}


def check(values: dict[str, object]) -> RunSettings:
    """Settings from plain values. Raises ConfigError naming each field, its value and what is wrong."""
    try:
        return RunSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_sentence(error), hint="See 'kvassay run --help'.") from None


def _sentence(error: ValidationError) -> str:
    found = error.errors()
    at_fault = {item["loc"][:-1] for item in found if len(item["loc"]) > 1}  # a list whose items are wrong: say it once
    return "\n".join(_one(item) for item in found if item["loc"] not in at_fault)


def _one(item: ErrorDetails) -> str:
    where = ".".join(str(part) for part in item["loc"])
    what = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden" and len(item["loc"]) == 1:
        what = f"no setting has this name; there are {', '.join(RunSettings.model_fields)}"
    return f"{where} = {item['input']!r}: {what}" if where else what


def read(path: Path) -> dict[str, object]:
    """The values of a TOML settings file, keys as in RunSettings with ``-`` or ``_``. Raises ConfigError, also for what
    only a command of its own can ask: closed loops, a recorded session.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"settings file {str(path)!r} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {str(path)!r} is not TOML: {error}") from None
    values = {key.replace("-", "_"): value for key, value in data.items()}
    for name, command in _BY_COMMAND.items():
        if name in values:
            raise ConfigError(f"settings file {str(path)!r}: {name} is for 'kvassay {command}', by its own flags")
    return values
