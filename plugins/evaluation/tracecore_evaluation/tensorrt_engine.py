"""Running a TensorRT engine, if the GPU it was built for and the runtime it was built with are available.

An engine file is native code: its bytes are compared with the recorded SHA-256 before it is deserialized, and it is not read at all without a
matching GPU and runtime. Device memory is handled through CUDA's driver library, which every machine with a usable GPU has.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracecore.engines import engine_roles
from tracecore.errors import RunFailed
from tracecore_evaluation.model_config import OUTPUTS
from tracecore_schemas.run import Artifact

__all__ = ["EngineDetector", "NotExecutable", "compiled_network", "engine_detector"]

_RUNTIMES = {"tensorrt-rtx": "tensorrt_rtx", "tensorrt": "tensorrt"}
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR, cuda.h


class NotExecutable(Exception):  # not an error of the user or the program
    """Raised if an engine can't be run on this machine; the message is one sentence with the reason."""


def compiled_network(artifact: Artifact) -> str | None:
    """Return the digest of the ONNX graph that a TensorRT engine was compiled from; None if its facet `tracecore_engine` doesn't record it."""
    facet: Any = artifact.facets.get("tracecore_engine", {})
    onnx = facet.get("onnx")
    digest = onnx.get("digest") if isinstance(onnx, dict) else None
    return digest if isinstance(digest, str) else None


def engine_detector(folder: Path, artifact: Artifact, outputs: Sequence[str] = OUTPUTS) -> EngineDetector:
    """Return a detector that runs a TensorRT engine; the facet `tracecore_engine` lists its files, builder version and compute capability.

    Raises:
        NotExecutable: the GPU or the runtime is missing or doesn't match.
        RunFailed: the file differs from the recorded one, or the runtime refuses it.
    """
    facet: Any = artifact.facets.get("tracecore_engine", {})
    cuda = _Cuda()
    built_for = str(facet.get("compute_capability", "no GPU that the record names"))
    if f"SM{cuda.capability}" not in re.findall(r"SM\d+", built_for):
        raise NotExecutable(f"The engine is built for {built_for}; the GPU here is SM{cuda.capability}.")
    builder = str(facet.get("builder", "tensorrt-rtx"))
    name = _RUNTIMES.get(builder.replace("_", "-"))
    if name is None:
        raise NotExecutable(f"The engine is built with '{builder}', which this evaluation has no runtime for.")
    try:
        runtime = importlib.import_module(name)
    except ImportError as error:
        raise NotExecutable(f'The engine is built with {builder}, which is not installed here: pip install "{builder}".') from error
    version = str(facet.get("builder_version", runtime.__version__))
    if version != runtime.__version__:
        raise NotExecutable(
            f"The engine is built with {builder} {version}; here is {runtime.__version__}, and engines only run in the version they are of."
        )
    file, sha256 = engine_roles(facet).get("engine", ("model.engine", "none recorded"))
    data = (folder / file).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise RunFailed(f"The engine's file is not the recorded one: expected sha256 {sha256}, found {found}; it was not loaded.")
    return EngineDetector(data, runtime, cuda, outputs, f"{builder} {runtime.__version__}, SM{cuda.capability}")


class EngineDetector:
    """Runs a model's TensorRT engine on the first GPU."""

    def __init__(self, data: bytes, runtime: ModuleType, cuda: _Cuda, outputs: Sequence[str], executed_with: str) -> None:
        self.executed_with = executed_with
        self._outputs = tuple(outputs)
        self._cuda = cuda
        self._runtime = runtime.Runtime(runtime.Logger(runtime.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise RunFailed("The runtime refuses the engine; its own messages are above.")
        self._context = self._engine.create_execution_context()
        self._numpy = {runtime.float32: np.float32, runtime.float16: np.float16, runtime.int64: np.int64, runtime.int32: np.int32}

    def __call__(self, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return the outputs for one image [3, H, W] by name, converted to the ONNX graph's dtypes, float32 and int64."""
        given = {name: result[0] for name, result in zip(self._outputs, self._run(image[None]), strict=True)}
        return {name: value.astype(np.float32 if value.dtype.kind == "f" else np.int64) for name, value in given.items()}

    def _run(self, image: NDArray[np.float32]) -> list[NDArray[Any]]:
        if not self._context.set_input_shape("image", image.shape):
            raise RunFailed(f"The engine takes no input of shape {image.shape}.")
        held: list[int] = []
        try:
            given = np.ascontiguousarray(image.astype(self._numpy[self._engine.get_tensor_dtype("image")]))
            held.append(self._cuda.allocate(given.nbytes))
            self._cuda.to_device(held[-1], given)
            self._context.set_tensor_address("image", held[-1])
            results = []
            for name in self._outputs:
                results.append(np.empty(tuple(self._context.get_tensor_shape(name)), dtype=self._numpy[self._engine.get_tensor_dtype(name)]))
                held.append(self._cuda.allocate(results[-1].nbytes))
                self._context.set_tensor_address(name, held[-1])
            if not self._context.execute_async_v3(0):
                raise RunFailed("The engine can't be executed; the runtime's own messages are above.")
            self._cuda.synchronize()
            for pointer, result in zip(held[1:], results, strict=True):
                self._cuda.to_host(result, pointer)
            return results
        finally:
            for pointer in held:
                self._cuda.free(pointer)


class _Cuda:
    """The CUDA driver calls that inference needs, on the first GPU, whose primary context is made current."""

    def __init__(self) -> None:
        try:
            self._driver = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise NotExecutable("There is no GPU here: CUDA's driver library is not installed.") from error
        count = ctypes.c_int()
        if self._driver.cuInit(0) != 0 or self._driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
            raise NotExecutable("There is no GPU here that CUDA can use.")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self.capability = "".join(str(self._attribute(attribute, device)) for attribute in (_MAJOR, _MINOR))
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)

    def allocate(self, size: int) -> int:
        pointer = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(max(size, 1)))
        return pointer.value

    def free(self, pointer: int) -> None:
        self._call("cuMemFree_v2", ctypes.c_uint64(pointer))

    def to_device(self, pointer: int, array: NDArray[Any]) -> None:
        self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(pointer), ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes))

    def to_host(self, array: NDArray[Any], pointer: int) -> None:
        self._call("cuMemcpyDtoH_v2", ctypes.c_void_p(array.ctypes.data), ctypes.c_uint64(pointer), ctypes.c_size_t(array.nbytes))

    def synchronize(self) -> None:
        self._call("cuCtxSynchronize")

    def _attribute(self, attribute: int, device: ctypes.c_int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        return value.value

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code != 0:
            raise RunFailed(f"CUDA's {name} failed with error {code}.")
