// cuBLAS stand-in: what cupy.dot, matmul and tensordot call, in float32 and float64, sums in
// float64.
//
// Matrices are column major, as in cuBLAS. Whatever else CuPy can call is a stub that refuses (see
// libraries.py). One call counts as one GEMM, however many matrices it multiplies.
#include "device.h"

#include <cstdint>
#include <vector>

enum Status { SUCCESS = 0, NOT_SUPPORTED = 15 };
enum Type { REAL_32 = 0, REAL_64 = 1 };  // cudaDataType

// C = alpha * op(A) @ op(B) + beta * C, where op(A) is m x k and op(B) is k x n.
template <class T>
static void gemm(int transpose_a, int transpose_b, int m, int n, int k, T alpha, const T* A,
                 int lda, const T* B, int ldb, T beta, T* C, int ldc) {
  // op(A) as contiguous float64 columns, so that the loop over the rows of a column is a vector
  // loop.
  std::vector<double> columns((size_t)m * k), sums(m);
  for (int l = 0; l < k; l++)
    for (int i = 0; i < m; i++)
      columns[(size_t)l * m + i] = transpose_a ? A[l + (size_t)i * lda] : A[i + (size_t)l * lda];
  for (int j = 0; j < n; j++) {
    sums.assign(m, 0.0);
    for (int l = 0; l < k; l++) {
      const double b = transpose_b ? B[j + (size_t)l * ldb] : B[l + (size_t)j * ldb];
      const double* column = &columns[(size_t)l * m];
      for (int i = 0; i < m; i++) sums[i] += column[i] * b;
    }
    for (int i = 0; i < m; i++) {
      T& c = C[i + (size_t)j * ldc];
      c = T(alpha * sums[i]) +
          (beta == T(0) ? T(0) : beta * c);  // beta 0: C is not read, it may be NaN
    }
  }
}

static int gemm_of_types(int ta, int tb, int m, int n, int k, const void* alpha, const void* A,
                         int a_type, int lda, const void* B, int b_type, int ldb, const void* beta,
                         void* C, int c_type, int ldc) {
  if (a_type != b_type || a_type != c_type) return NOT_SUPPORTED;
  if (a_type == REAL_32)
    gemm(ta, tb, m, n, k, *(const float*)alpha, (const float*)A, lda, (const float*)B, ldb,
         *(const float*)beta, (float*)C, ldc);
  else if (a_type == REAL_64)
    gemm(ta, tb, m, n, k, *(const double*)alpha, (const double*)A, lda, (const double*)B, ldb,
         *(const double*)beta, (double*)C, ldc);
  else
    return NOT_SUPPORTED;
  return SUCCESS;
}

static int pointer_mode = 0, math_mode = 0;

extern "C" {
int cublasCreate_v2(void** handle) {
  *handle = (void*)0x77;
  return SUCCESS;
}
int cublasDestroy_v2(void*) { return SUCCESS; }
int cublasGetVersion_v2(void*, int* version) {
  *version = 130000;
  return SUCCESS;
}
int cublasSetStream_v2(void*, void*) { return SUCCESS; }
int cublasGetStream_v2(void*, void** stream) {
  *stream = nullptr;
  return SUCCESS;
}
int cublasSetPointerMode_v2(void*, int mode) {
  pointer_mode = mode;
  return SUCCESS;
}
int cublasGetPointerMode_v2(void*, int* mode) {
  *mode = pointer_mode;
  return SUCCESS;
}
int cublasSetMathMode(void*, int mode) {
  math_mode = mode;
  return SUCCESS;
}
int cublasGetMathMode(void*, int* mode) {
  *mode = math_mode;
  return SUCCESS;
}

int cublasSgemm_v2(void*, int ta, int tb, int m, int n, int k, const float* alpha, const float* A,
                   int lda, const float* B, int ldb, const float* beta, float* C, int ldc) {
  count(GEMM);
  gemm(ta, tb, m, n, k, *alpha, A, lda, B, ldb, *beta, C, ldc);
  return SUCCESS;
}

int cublasDgemm_v2(void*, int ta, int tb, int m, int n, int k, const double* alpha, const double* A,
                   int lda, const double* B, int ldb, const double* beta, double* C, int ldc) {
  count(GEMM);
  gemm(ta, tb, m, n, k, *alpha, A, lda, B, ldb, *beta, C, ldc);
  return SUCCESS;
}

int cublasGemmEx(void*, int ta, int tb, int m, int n, int k, const void* alpha, const void* A,
                 int a_type, int lda, const void* B, int b_type, int ldb, const void* beta, void* C,
                 int c_type, int ldc, int /* compute_type */, int /* algorithm */) {
  count(GEMM);
  return gemm_of_types(ta, tb, m, n, k, alpha, A, a_type, lda, B, b_type, ldb, beta, C, c_type,
                       ldc);
}

int cublasSgemmEx(void* handle, int ta, int tb, int m, int n, int k, const float* alpha,
                  const void* A, int a_type, int lda, const void* B, int b_type, int ldb,
                  const float* beta, void* C, int c_type, int ldc) {
  if (a_type != REAL_32) return NOT_SUPPORTED;
  return cublasGemmEx(handle, ta, tb, m, n, k, alpha, A, a_type, lda, B, b_type, ldb, beta, C,
                      c_type, ldc, 0, 0);
}

int cublasGemmStridedBatchedEx(void*, int ta, int tb, int m, int n, int k, const void* alpha,
                               const void* A, int a_type, int lda, long long a_stride,
                               const void* B, int b_type, int ldb, long long b_stride,
                               const void* beta, void* C, int c_type, int ldc, long long c_stride,
                               int batch, int /* compute_type */, int /* algorithm */) {
  count(GEMM);
  const size_t size = a_type == REAL_64 ? sizeof(double) : sizeof(float);
  for (int i = 0; i < batch; i++) {
    int status = gemm_of_types(ta, tb, m, n, k, alpha, (const char*)A + size * a_stride * i, a_type,
                               lda, (const char*)B + size * b_stride * i, b_type, ldb, beta,
                               (char*)C + size * c_stride * i, c_type, ldc);
    if (status) return status;
  }
  return SUCCESS;
}

int cublasSgemmBatched(void*, int ta, int tb, int m, int n, int k, const float* alpha,
                       const float* const* A, int lda, const float* const* B, int ldb,
                       const float* beta, float* const* C, int ldc, int batch) {
  count(GEMM);
  for (int i = 0; i < batch; i++)
    gemm(ta, tb, m, n, k, *alpha, A[i], lda, B[i], ldb, *beta, C[i], ldc);
  return SUCCESS;
}

int cublasDgemmBatched(void*, int ta, int tb, int m, int n, int k, const double* alpha,
                       const double* const* A, int lda, const double* const* B, int ldb,
                       const double* beta, double* const* C, int ldc, int batch) {
  count(GEMM);
  for (int i = 0; i < batch; i++)
    gemm(ta, tb, m, n, k, *alpha, A[i], lda, B[i], ldb, *beta, C[i], ldc);
  return SUCCESS;
}
}
