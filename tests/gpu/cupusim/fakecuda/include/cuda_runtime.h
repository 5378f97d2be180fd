// Empty on purpose: CuPy looks for this file in CUDA_PATH/include; the dialect is in cuda_cpu.h.
#pragma once
