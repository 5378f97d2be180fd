// cuRAND stand-in: right distributions and the rule of even counts, but not cuRAND's streams of
// numbers.
#include <cmath>
#include <cstddef>
#include <random>

enum Status { SUCCESS = 0, LENGTH_NOT_MULTIPLE = 105 };

using Engine = std::mt19937_64;

static Engine& engine(void* generator) { return *(Engine*)generator; }

// On (0, 1], as cuRAND's.
template <class T>
static int uniform(void* generator, T* out, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = T(1) - std::generate_canonical<T, 24>(engine(generator));
  return SUCCESS;
}

template <class T>
static int normal(void* generator, T* out, size_t n, T mean, T stddev, bool exponentiate) {
  if (n % 2) return LENGTH_NOT_MULTIPLE;  // cuRAND draws normals in pairs
  std::normal_distribution<T> distribution(mean, stddev);
  for (size_t i = 0; i < n; i++) {
    T value = distribution(engine(generator));
    out[i] = exponentiate ? std::exp(value) : value;
  }
  return SUCCESS;
}

extern "C" {
int curandCreateGenerator(void** generator, int) {
  *generator = new Engine();
  return SUCCESS;
}
int curandDestroyGenerator(void* generator) {
  delete (Engine*)generator;
  return SUCCESS;
}
int curandGetVersion(int* version) {
  *version = 10400;
  return SUCCESS;
}
int curandSetGeneratorOffset(void*, unsigned long long) { return SUCCESS; }
int curandSetGeneratorOrdering(void*, int) { return SUCCESS; }
int curandSetStream(void*, void*) { return SUCCESS; }
int curandSetPseudoRandomGeneratorSeed(void* generator, unsigned long long seed) {
  engine(generator).seed(seed);
  return SUCCESS;
}

int curandGenerate(void* generator, unsigned* out, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = (unsigned)engine(generator)();
  return SUCCESS;
}
int curandGenerateLongLong(void* generator, unsigned long long* out, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = engine(generator)();
  return SUCCESS;
}
int curandGenerateUniform(void* generator, float* out, size_t n) {
  return uniform(generator, out, n);
}
int curandGenerateUniformDouble(void* generator, double* out, size_t n) {
  return uniform(generator, out, n);
}
int curandGenerateNormal(void* generator, float* out, size_t n, float mean, float stddev) {
  return normal(generator, out, n, mean, stddev, false);
}
int curandGenerateNormalDouble(void* generator, double* out, size_t n, double mean, double stddev) {
  return normal(generator, out, n, mean, stddev, false);
}
int curandGenerateLogNormal(void* generator, float* out, size_t n, float mean, float stddev) {
  return normal(generator, out, n, mean, stddev, true);
}
int curandGenerateLogNormalDouble(void* generator, double* out, size_t n, double mean,
                                  double stddev) {
  return normal(generator, out, n, mean, stddev, true);
}
int curandGeneratePoisson(void* generator, unsigned* out, size_t n, double lambda) {
  std::poisson_distribution<unsigned> distribution(lambda);
  for (size_t i = 0; i < n; i++) out[i] = distribution(engine(generator));
  return SUCCESS;
}
}
