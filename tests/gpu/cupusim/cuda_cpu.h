// Enough of the CUDA C++ dialect for g++ to compile the kernels that CuPy generates.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <type_traits>
#include <utility>

// ------------------------------------------------------------------------------ language and
// threads
#define __device__
#define __host__
#define __global__
#define __shared__ static  // blocks run one after another, so one copy serves them all
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
typedef uint3 dim3;

extern "C" {
extern uint3 threadIdx, blockIdx, blockDim, gridDim;
extern char cpusim_shared_memory[];
void cpusim_syncthreads();
void cpusim_syncwarp();
void cpusim_shuffle(void*, size_t, int);
}

static const int warpSize = 32;

#define __syncthreads cpusim_syncthreads
inline void __syncwarp(unsigned = ~0u) { cpusim_syncwarp(); }

// --------------------------------------------------------------------------- warp shuffles (width
// 32)
inline int cpusim_lane() {
  return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) & 31;
}
template <class T>
inline T cpusim_from_lane(T value, int source) {
  cpusim_shuffle(&value, sizeof value, source);
  return value;
}
template <class T>
inline T __shfl_sync(unsigned, T value, int lane, int = 32) {
  return cpusim_from_lane(value, lane);
}
template <class T>
inline T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
  return cpusim_from_lane(value, cpusim_lane() ^ mask);
}
template <class T>
inline T __shfl_down_sync(unsigned, T value, unsigned delta, int = 32) {
  int source = cpusim_lane() + (int)delta;
  return cpusim_from_lane(value, source > 31 ? cpusim_lane() : source);
}
template <class T>
inline T __shfl_up_sync(unsigned, T value, unsigned delta, int = 32) {
  int source = cpusim_lane() - (int)delta;
  return cpusim_from_lane(value, source < 0 ? cpusim_lane() : source);
}

// ------------------------------------------------------------------------------------- half
// precision
inline unsigned short __float2half_rn(float x) {
  _Float16 half = (_Float16)x;
  unsigned short bits;
  memcpy(&bits, &half, sizeof bits);
  return bits;
}
inline float __half2float(unsigned short bits) {
  _Float16 half;
  memcpy(&half, &bits, sizeof half);
  return (float)half;
}
#define __half_as_ushort(h) (__half_raw(h).x)
#define __ushort_as_half(u) half(__half_raw{(unsigned short)(u)})

// ----------------------------------------------------------------------------------------
// intrinsics
template <class T>
inline int __popc(T x) {
  return __builtin_popcount((unsigned)x);
}
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <class T>
inline T __ldg(const T* pointer) {
  return *pointer;
}

template <class Target, class Source>
inline Target cpusim_bits(Source source) {
  static_assert(sizeof(Target) == sizeof(Source), "the same bits");
  Target target;
  memcpy(&target, &source, sizeof target);
  return target;
}
inline float __int_as_float(int x) { return cpusim_bits<float>(x); }
inline int __float_as_int(float x) { return cpusim_bits<int>(x); }
inline double __longlong_as_double(long long x) { return cpusim_bits<double>(x); }
inline long long __double_as_longlong(double x) { return cpusim_bits<long long>(x); }
inline double __hiloint2double(int high, int low) {
  return cpusim_bits<double>((long long)high << 32 | (unsigned)low);
}
inline int __double2hiint(double x) { return (int)(cpusim_bits<long long>(x) >> 32); }
inline int __double2loint(double x) { return (int)cpusim_bits<long long>(x); }

inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

template <class A, class B>
inline typename std::common_type<A, B>::type max(A a, B b) {
  typename std::common_type<A, B>::type x = a, y = b;
  return x > y ? x : y;
}
template <class A, class B>
inline typename std::common_type<A, B>::type min(A a, B b) {
  typename std::common_type<A, B>::type x = a, y = b;
  return x < y ? x : y;
}

// --------------------------------------------------------------------------------------------
// atomics Threads switch only at barriers, so plain reads and writes are atomic. The types are
// those of CUDA.
#define CPUSIM_ATOMIC_ADD(T)           \
  inline T atomicAdd(T* p, T value) {  \
    T old = *p;                        \
    *p = old + value;                  \
    return old;                        \
  }                                    \
  inline T atomicExch(T* p, T value) { \
    T old = *p;                        \
    *p = value;                        \
    return old;                        \
  }
#define CPUSIM_ATOMIC_COMPARE(T)                  \
  inline T atomicMax(T* p, T value) {             \
    T old = *p;                                   \
    if (value > old) *p = value;                  \
    return old;                                   \
  }                                               \
  inline T atomicMin(T* p, T value) {             \
    T old = *p;                                   \
    if (value < old) *p = value;                  \
    return old;                                   \
  }                                               \
  inline T atomicCAS(T* p, T expected, T value) { \
    T old = *p;                                   \
    if (old == expected) *p = value;              \
    return old;                                   \
  }
CPUSIM_ATOMIC_ADD(int)
CPUSIM_ATOMIC_ADD(unsigned)
CPUSIM_ATOMIC_ADD(unsigned long long)
CPUSIM_ATOMIC_ADD(float)
CPUSIM_ATOMIC_ADD(double)
CPUSIM_ATOMIC_COMPARE(int)
CPUSIM_ATOMIC_COMPARE(unsigned)
CPUSIM_ATOMIC_COMPARE(unsigned long long)
