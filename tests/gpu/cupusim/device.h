// What the parts of the CPU "device" share: the counters and the launch log.
#pragma once
#include <cstddef>

// The order of COUNTERS in __init__.py.
enum Counter {
  LAUNCH,
  HOST_TO_DEVICE,
  DEVICE_TO_HOST,
  DEVICE_TO_DEVICE,
  SYNC,
  MALLOC,
  BYTES_LIVE,
  BYTES_PEAK,
  HOST_TO_DEVICE_BYTES,
  DEVICE_TO_HOST_BYTES,
  MEMSET,
  GEMM,
};

extern "C" long cpusim_counters[16];

// CuPy releases the GIL around launches and GEMMs, so two Python threads may count at once.
inline void count(Counter which, long amount = 1) {
  __atomic_fetch_add(&cpusim_counters[which], amount, __ATOMIC_RELAXED);
}
