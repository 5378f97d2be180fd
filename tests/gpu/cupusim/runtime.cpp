// The functions that replace CuPy's Cython wrappers of the CUDA runtime: memory, copies, streams,
// events.
//
// Each is called cupusim_NAME for the wrapper cupy_backends.cuda.api.runtime.NAME and has that
// wrapper's C signature (wrappers.py puts it in the wrapper's place). Cython's own last arguments
// are there too: "skip dispatch" (an int) and, for wrappers with default arguments, a pointer to
// those.
#include "device.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

extern "C" {
typedef struct _object PyObject;
extern PyObject _Py_NoneStruct;
void Py_IncRef(PyObject*);
PyObject* PyErr_NoMemory();
PyObject* PyLong_FromLong(long);
PyObject* PyUnicode_FromString(const char*);

long cpusim_counters[16];
}

static PyObject* none() {
  Py_IncRef(&_Py_NoneStruct);
  return &_Py_NoneStruct;
}

// ------------------------------------------------------------------------------------------ memory
static std::mutex sizes_lock;
static std::map<intptr_t, size_t> sizes;  // of the live device allocations

static const size_t DEVICE_ALIGNMENT = 512, HOST_ALIGNMENT = 4096;

extern "C" {
intptr_t cupusim_malloc(size_t size, int) {
  size_t rounded =
      std::max((size + DEVICE_ALIGNMENT - 1) / DEVICE_ALIGNMENT, size_t(1)) * DEVICE_ALIGNMENT;
  void* pointer = nullptr;
  if (posix_memalign(&pointer, DEVICE_ALIGNMENT, rounded)) {
    PyErr_NoMemory();
    return 0;
  }
  memset(pointer, 0xFF, rounded);  // all bits set is NaN: finds reads of cupy.empty() memory
  std::lock_guard<std::mutex> guard(sizes_lock);
  sizes[(intptr_t)pointer] = rounded;
  count(MALLOC);
  count(BYTES_LIVE, rounded);
  cpusim_counters[BYTES_PEAK] = std::max(cpusim_counters[BYTES_PEAK], cpusim_counters[BYTES_LIVE]);
  return (intptr_t)pointer;
}

PyObject* cupusim_free(intptr_t pointer, int) {
  std::lock_guard<std::mutex> guard(sizes_lock);
  auto found = sizes.find(pointer);
  if (found != sizes.end()) {
    count(BYTES_LIVE, -(long)found->second);
    sizes.erase(found);
  }
  free((void*)pointer);
  return none();
}

intptr_t cupusim_hostAlloc(size_t size, unsigned, int) {
  void* pointer = nullptr;
  if (posix_memalign(&pointer, HOST_ALIGNMENT, std::max(size, size_t(1)))) {
    PyErr_NoMemory();
    return 0;
  }
  return (intptr_t)pointer;
}

PyObject* cupusim_freeHost(intptr_t pointer, int) {
  free((void*)pointer);
  return none();
}

int cupusim_pointerGetMemoryType(intptr_t, int) { return 1; }
}

// ------------------------------------------------------------------------------------------ copies
static const int TO_DEVICE = 1, TO_HOST = 2;  // cudaMemcpyKind

static void copy(intptr_t target, intptr_t source, size_t size, int kind) {
  if (kind == TO_DEVICE) {
    count(HOST_TO_DEVICE);
    count(HOST_TO_DEVICE_BYTES, size);
  } else if (kind == TO_HOST) {
    count(DEVICE_TO_HOST);
    count(DEVICE_TO_HOST_BYTES, size);
  } else {
    count(DEVICE_TO_DEVICE);
  }
  memmove((void*)target, (void*)source, size);
}

extern "C" {
PyObject* cupusim_memcpy(intptr_t target, intptr_t source, size_t size, int kind, int) {
  copy(target, source, size, kind);
  if (kind == TO_HOST) count(SYNC);  // the blocking copy waits for the stream
  return none();
}

PyObject* cupusim_memcpyAsync(intptr_t target, intptr_t source, size_t size, int kind, intptr_t,
                              int) {
  copy(target, source, size, kind);
  return none();
}

PyObject* cupusim_memset(intptr_t target, int value, size_t size, int) {
  count(MEMSET);
  memset((void*)target, value, size);
  return none();
}

PyObject* cupusim_memsetAsync(intptr_t target, int value, size_t size, intptr_t, int) {
  return cupusim_memset(target, value, size, 0);
}
}

// ------------------------------------------------------------------------------ streams and events
// Everything runs at once and in order, so a stream or an event is only a number.
static intptr_t last_handle = 0x1000;

static intptr_t new_handle() { return __atomic_add_fetch(&last_handle, 16, __ATOMIC_RELAXED); }

static PyObject* synchronized() {
  count(SYNC);
  return none();
}

extern "C" {
PyObject* cupusim_deviceSynchronize(int) { return synchronized(); }
PyObject* cupusim_streamSynchronize(intptr_t, int) { return synchronized(); }
PyObject* cupusim_eventSynchronize(intptr_t, int) { return synchronized(); }
PyObject* cupusim_profilerStart(int) { return synchronized(); }
PyObject* cupusim_profilerStop(int) { return synchronized(); }

intptr_t cupusim_streamCreate(int) { return new_handle(); }
intptr_t cupusim_streamCreateWithFlags(unsigned, int) { return new_handle(); }
intptr_t cupusim_streamCreateWithPriority(unsigned, int, int) { return new_handle(); }
PyObject* cupusim_streamDestroy(intptr_t, int) { return none(); }
PyObject* cupusim_streamQuery(intptr_t, int) { return PyLong_FromLong(0); }
PyObject* cupusim_streamWaitEvent(intptr_t, intptr_t, int, void*) { return none(); }
int cupusim_streamIsCapturing(intptr_t, int) { return 0; }

intptr_t cupusim_eventCreate(int) { return new_handle(); }
intptr_t cupusim_eventCreateWithFlags(unsigned, int) { return new_handle(); }
PyObject* cupusim_eventDestroy(intptr_t, int) { return none(); }
PyObject* cupusim_eventQuery(intptr_t, int) { return PyLong_FromLong(0); }
PyObject* cupusim_eventRecord(intptr_t, intptr_t, int) { return none(); }
float cupusim_eventElapsedTime(intptr_t, intptr_t, int) { return 0.f; }
}

// ------------------------------------------------------------------------- the device's properties
extern "C" {
PyObject* cupusim__ensure_context(void) { return none(); }
PyObject* cupusim_setDevice(int, int) { return none(); }
PyObject* cupusim__deviceEnsurePeerAccess(int, int) { return none(); }
PyObject* cupusim_deviceGetPCIBusId(int, int) { return PyUnicode_FromString("0000:00:00.0"); }
int cupusim_getDevice(int) { return 0; }
int cupusim_getDeviceCount(int) { return 1; }
int cupusim_deviceCanAccessPeer(int, int, int) { return 0; }
int cupusim_runtimeGetVersion(int) { return 13000; }
int cupusim_driverGetVersion(int) { return 13000; }
int cupusim__getCUDAMajorVersion(int) { return 13; }

int cupusim_deviceGetAttribute(int attribute, int, int) {
  switch (attribute) {
    case 1:  // cudaDevAttrMaxThreadsPerBlock
      return 1024;
    case 5:  // cudaDevAttrMaxGridDimX
      return 2147483647;
    case 8:  // cudaDevAttrMaxSharedMemoryPerBlock
      return 49152;
    case 10:  // cudaDevAttrWarpSize
      return 32;
    case 16:  // cudaDevAttrMultiProcessorCount
      return 132;
    case 75:  // cudaDevAttrComputeCapabilityMajor
      return 9;
    default:
      return 0;
  }
}
}
