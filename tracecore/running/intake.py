"""Intake of external files: they are kept by digest and recorded with their declared origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tracecore.errors import RunFailed, UsageError
from tracecore.running.erasure_filter import ErasureFilter
from tracecore.running.recorder import Recorder
from tracecore.running.staleness import adoption_key
from tracecore.stage import Files, SourceFile
from tracecore.store import Store
from tracecore.system.locks import hold_key, hold_run
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import count
from tracecore_schemas.kinds import BUILT_IN_KINDS, ArtifactKind, Media
from tracecore_schemas.run import Artifact, Origin, Parent, Run, RunInput, Unknown

__all__ = ["Intake"]

_EXTERNAL_NAMESPACE = "file"


class Intake:
    """The external files of one run: adopted, quarantined, or only read.

    Args:
        locks: the workspace's lock folder.
        found: files found before the run, by file port.
        ports: the stage's file ports by name.
        supplied: the run's inputs, whose members may be adopted.
        not_taken: summaries of the other files in the searched folders.
    """

    def __init__(
        self,
        run: Run,
        store: Store,
        recorder: Recorder,
        locks: Path,
        found: Mapping[str, Sequence[SourceFile]],
        ports: Mapping[str, Files],
        supplied: Sequence[RunInput] = (),
        withdrawn: ErasureFilter = ErasureFilter(),  # noqa: B008  # frozen: nothing was withdrawn
        not_taken: Sequence[str] = (),
    ) -> None:
        self._run = run
        self._store = store
        self._recorder = recorder
        self._locks = locks
        self._found = found
        self._ports = ports
        self._supplied = {taken.role: taken for taken in supplied}
        self._withdrawn = withdrawn
        self._not_taken = tuple(not_taken)
        self._by_name: dict[tuple[str, str], tuple[SourceFile, RunInput]] = {}
        self._quarantined: dict[tuple[str, str], tuple[SourceFile, str]] = {}

    def adopt(self, file: SourceFile, *, kind: str, name: str, facets: Mapping[str, JSON], unknowns: Sequence[tuple[str, str]]) -> Path:
        """Keep a file, record it, and return its stored path; the same file and name are recorded once.

        Raises:
            UsageError: the kind is invalid, the file was withdrawn, or two different files claim one name.
            RunFailed: the file changed after it was found.
        """
        if kind not in BUILT_IN_KINDS:
            raise UsageError(f"'{kind}' is not a kind of artifact: a file is adopted as a 'drive_log' or as 'external'.")
        if file.part_of and kind == ArtifactKind.EXTERNAL:
            raise UsageError(f"'{file.name}' is part of the input '{file.part_of}', so it is not from outside: adopt it as a 'drive_log'.")
        reason = self._withdrawn.files.get(file.digest) or (self._withdrawn.drives.get(name) if kind == ArtifactKind.DRIVE_LOG else None)
        if reason is not None:
            raise UsageError(f"The {self._note(file)} '{file.name}' can't be taken in as {kind}/{name}: {reason} Leave it out.")
        before = self._by_name.get((kind, name))
        if before is not None:
            other, known = before
            if other.digest != file.digest:
                raise UsageError(
                    f"Two different files claim the name '{name}': '{other.path}' and '{file.path}'. Leave one out, or give them different names."
                )
            return self._path(known.artifact)
        stored = self._store.put_file(file.path, run_id=self._run.id)
        if stored.digest != file.digest:
            raise RunFailed(f"The {self._note(file)} '{file.path}' changed while it was read: run the same again when nothing writes to it.")
        artifact = Artifact(
            kind=kind,
            name=name,
            digest=stored.digest,
            media=Media.FILE,
            location=stored.location,
            size_bytes=stored.size_bytes,
            origin=None if file.part_of else Origin(file.name, file.digest, file.size_bytes, self._note(file)),
            unknowns=tuple(Unknown(*each) for each in unknowns),
            facets=dict(facets),
            namespace=_EXTERNAL_NAMESPACE if kind == ArtifactKind.EXTERNAL else None,
        )
        if kind == ArtifactKind.EXTERNAL:
            taken = RunInput(self._role(file), artifact)
        else:
            taken = RunInput(kind, artifact, self._record(artifact, self._key(artifact, file), file))
        self._by_name[kind, name] = (file, taken)
        return self._path(artifact)

    def quarantine(self, file: SourceFile, reason: str) -> None:
        """Leave out a damaged file, to be recorded with the reason."""
        self._quarantined[file.name, file.digest] = (file, reason)

    @property
    def inputs(self) -> list[RunInput]:
        """External inputs of the run: adopted files, and files that were only read, of which only the digest is recorded."""
        adopted = [taken for _, taken in self._by_name.values()]
        known = {taken.artifact.digest for taken in adopted} | {digest for _, digest in self._quarantined}
        seen: set[tuple[str, str]] = set()
        looked_at: list[RunInput] = []
        for file in (each for found in self._found.values() for each in found):
            if file.digest in known or (file.name, file.digest) in seen:
                continue
            seen.add((file.name, file.digest))
            origin = Origin(file.name, file.digest, file.size_bytes, self._note(file))
            artifact = Artifact(
                ArtifactKind.EXTERNAL,
                file.name,
                file.digest,
                media=Media.NONE,
                size_bytes=file.size_bytes,
                origin=origin,
                unknowns=(Unknown("bytes", "the run read this file without keeping it; its digest alone is recorded"),),
                namespace=_EXTERNAL_NAMESPACE,
            )
            looked_at.append(RunInput(self._role(file), artifact))
        return adopted + looked_at

    @property
    def unknowns(self) -> list[Unknown]:
        """Unknowns of all outputs because of quarantined and other, not accepted files."""
        quarantined = [Unknown(f"{self._note(file)} not ingested", f"{file.name}: {reason}") for file, reason in self._quarantined.values()]
        return [*quarantined, *(Unknown("files not taken", f"listed beside each {summary}") for summary in self._not_taken)]

    @property
    def facets(self) -> dict[str, JSON]:
        """The run facet `tracecore_quarantine`, by name; empty if no file was left out."""
        if not self._quarantined and not self._not_taken:
            return {}
        files: list[JSON] = [
            {"name": file.name, "digest": file.digest, "size_bytes": file.size_bytes, "reason": reason} for file, reason in self._quarantined.values()
        ]
        besides: dict[str, JSON] = {"not_taken": list(self._not_taken)} if self._not_taken else {}
        summary = f"{count(len(files), 'file')} left out{', others not taken' if besides else ''}"
        return {"tracecore_quarantine": {"summary": summary, "files": files, **besides}}

    def _key(self, artifact: Artifact, file: SourceFile) -> str:
        unknowns = [(unknown.what, unknown.why) for unknown in artifact.unknowns]
        made_from = self._supplied[file.part_of].artifact.ref if file.part_of else None
        return adoption_key(artifact.kind, artifact.name, artifact.digest, artifact.facets, unknowns, made_from)

    def _record(self, artifact: Artifact, key: str, file: SourceFile) -> str:
        """Record an adopted artifact by a child run, unless it is recorded already and not erased, and return that run's id."""
        with hold_key(self._locks, key):
            known = next(iter(self._recorder.reusable(key)), None)
            made_from = (self._supplied[file.part_of],) if file.part_of else ()
            recorded = known is not None and any(each.ref == artifact.ref for each in known.outputs.values())
            # Where the bytes had been erased, that they are back is news: the record has to say it.
            if known is not None and recorded and self._recorder.erased(artifact) is None:
                return known.id
            child = Run(
                id=self._recorder.new_run_id(),
                job=f"{self._run.job}.{artifact.kind}",
                started_at=datetime.now(UTC),
                stage=self._run.stage,
                plugin=self._run.plugin,
                key=key,
                environment=self._run.environment,
                host=self._run.host,
                parent=Parent(self._run.id, self._run.job, self._recorder.namespace),
                code=self._run.code,
                description=f"Keeps the {self._note(file)} {artifact.name} as it was found.",
            )
            with hold_run(self._locks, child.id):
                self._recorder.start(child)
                self._recorder.complete(child, made_from, {str(artifact.kind): artifact})
            return child.id

    def _path(self, artifact: Artifact) -> Path:
        opened = self._store.open(artifact)
        assert isinstance(opened, Path)  # a file's bytes open as their path
        return opened

    def _note(self, file: SourceFile) -> str:
        port = next((self._ports[name] for name, found in self._found.items() if file in found), None)
        if port is not None:
            return port.note
        return f"file of the input '{file.part_of}'" if file.part_of else "file"

    def _role(self, file: SourceFile) -> str:
        return self._note(file).replace(" ", "_")
