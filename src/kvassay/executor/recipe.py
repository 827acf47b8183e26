"""What it takes to make a run's back end, as a value that can travel to another machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kvassay import backend as backends
from kvassay.backend.base import Backend, Listener, Progress
from kvassay.errors import ModelFileError
from kvassay.model.folder import ModelFolder, read_model
from kvassay.model.resolve import ModelFile, is_fetched
from kvassay.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Recipe:
    """A run's back end. ``model`` is the file on the driver's machine; ``log_dir`` is used where the folder
    around it exists: on this machine, and on those that share its file system.
    """

    settings: RunSettings
    model: ModelFile | ModelFolder | None
    log_dir: Path

    @property
    def name(self) -> str:
        """The back end's word in settings and manifest."""
        return self.settings.backend

    def here(self) -> Backend:
        """The back end on this machine, where ``model`` was found."""
        return self._make(self.model.path if self.model else None, self.log_dir)

    def there(self, listener: Listener) -> Backend:
        """The back end on a machine that knows of the model no more than its name and its hash: the file is looked
        for under the same absolute path, or fetched into this machine's own store, and must have the same SHA-256.

        Raises ModelFileError, FetchError.
        """
        log_dir = self.log_dir if self.log_dir.parent.is_dir() else None
        return self._make(self._found(listener), log_dir)

    def _found(self, listener: Listener) -> Path | None:
        if self.model is None:
            return None

        def progress(done: int, total: int, note: str) -> None:
            listener(Progress("loading", 100 * done // total if total else 0, 100 if total else 0, f"model: {note}"))

        folder = isinstance(self.model, ModelFolder)  # one may have a catalogue's name
        word = self.model.name if is_fetched(self.model.name) and not folder else str(self.model.path)
        found = read_model(word, folder=folder, progress=progress)
        if found.sha256 != self.model.sha256:
            raise ModelFileError(
                f"{self.model.name!r} has SHA-256 {found.sha256[:12]}… here, {self.model.sha256[:12]}… where the run "
                "was started",
                hint="Put the same file there under the same path.",
            )
        return found.path

    def _make(self, model_path: Path | None, log_dir: Path | None) -> Backend:
        settings = self.settings
        return backends.make(
            settings.backend,
            model_path=model_path,
            model_sha256=self.model.sha256 if self.model else None,
            model_name=settings.model,
            tokenizer=settings.tokenizer,
            serve=settings.serve,
            url=settings.url,
            device=settings.device,
            dtype=settings.dtype,
            binary=settings.server_binary,
            extra_args=settings.server_args,
            threads=settings.threads,
            flash_attention=settings.flash_attention,
            gpu_layers=settings.gpu_layers,
            port=settings.port,
            log_dir=log_dir,
        )
