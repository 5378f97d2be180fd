// What nearly every kernel includes first: the CUDA dialect and CuPy's own headers. nvrtc.cpp
// compiles it once for each set of options; reading it again for every kernel would be two thirds
// of the build time.
#pragma once
#include "cuda_cpu.h"

#include <cupy/complex.cuh>
#include <cupy/carray.cuh>
#include <cupy/atomics.cuh>
#include <cupy/math_constants.h>
