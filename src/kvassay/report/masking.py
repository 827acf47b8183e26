"""What stands beside a replay's masked prompts, without the user's names and paths: manifest and boots."""

from __future__ import annotations

from dataclasses import replace

from kvassay.assay.records import Manifest
from kvassay.session.redact import Redactor
from kvassay.types import BootRecord


def masked_manifest(manifest: Manifest, redactor: Redactor) -> Manifest:
    """The manifest with command line, settings and host masked."""
    update = {
        "command": tuple(map(redactor.text, manifest.command)),
        "settings": redactor.json(manifest.settings),
        "host": {name: redactor.text(value) for name, value in manifest.host.items()},
    }
    return manifest.model_copy(update=update)


def masked_boot(boot: BootRecord, redactor: Redactor) -> BootRecord:
    """A boot with its server's paths, warnings and error masked."""
    facts = replace(
        boot.facts,
        model_path=boot.facts.model_path and redactor.text(boot.facts.model_path),
        warnings=tuple(map(redactor.text, boot.facts.warnings)),
    )
    return replace(boot, facts=facts, error=boot.error and redactor.text(boot.error))
