// The part of the CUDA driver API that CuPy calls: modules, functions, launches; and the scheduler
// that runs a kernel's blocks and threads one after another on the CPU.
#include "device.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

struct Index3 {
  unsigned x, y, z;
};

extern "C" {
Index3 threadIdx, blockIdx, blockDim, gridDim;  // what kernels read
char cpusim_shared_memory[1 << 18];             // the dynamic shared memory of the running block

int cpusim_reverse = 0;     // run blocks and threads from the last to the first
unsigned cpusim_lanes = 1;  // simulated threads of an elementwise kernel
}

enum Status { SUCCESS = 0, INVALID_VALUE = 1, INVALID_IMAGE = 200, NOT_FOUND = 500 };

struct Function {
  void (*call)(void**);  // one thread of the kernel, on the launch's argument pointers
  bool cooperative;      // its threads meet at barriers or shuffles: each needs a stack of its own
  bool serial;           // a pure CUPY_FOR loop: right with any number of threads
  std::string name;
};

struct Module {
  void* library;
  std::map<std::string, Function*> functions;
};

// -------------------------------------------------------------------------------------- launch log
static std::mutex log_lock;
static int log_readers = 0;
static std::vector<const char*> log_names;  // a Function is never freed, so its name stays

extern "C" {
// A reader gets the position at which its part of the log starts.
size_t cpusim_log_open() {
  std::lock_guard<std::mutex> guard(log_lock);
  log_readers++;
  return log_names.size();
}
size_t cpusim_log_size() {
  std::lock_guard<std::mutex> guard(log_lock);
  return log_names.size();
}
const char* cpusim_log_name(size_t position) {
  std::lock_guard<std::mutex> guard(log_lock);
  return log_names[position];
}
void cpusim_log_close() {
  std::lock_guard<std::mutex> guard(log_lock);
  if (--log_readers == 0) log_names.clear();
}
}

static void record_launch(const Function* function) {
  count(LAUNCH);
  std::lock_guard<std::mutex> guard(log_lock);
  if (log_readers) log_names.push_back(function->name.c_str());
}

// ---------------------------------------------------------------------------------------- schedule
// A cooperative kernel runs each thread of the block as a fiber: a stack of its own, switched by
// hand. A fiber runs until it finishes or waits; when all have, those whose barrier is complete go
// on.
enum State : unsigned char { RUNNING, AT_BLOCK_BARRIER, AT_WARP_BARRIER, FINISHED };

static const size_t STACK_BYTES = 128 << 10;
static const unsigned WARP = 32, MAX_BLOCK = 1024;

struct Fiber {
  void* stack_pointer;
  Index3 thread;
  unsigned number;  // of the thread in its block
  char slot[16];    // what the thread offers to a warp shuffle
};

static std::mutex device_lock;  // CuPy releases the GIL for a launch; the device runs one at a time
static std::vector<Fiber*> fibers;
static State states[MAX_BLOCK];  // of the fibers
static unsigned block_size;
static void* scheduler_stack_pointer;
static Fiber* current;
static Function* running_function;
static void** running_arguments;

// Save the registers that a call must preserve, swap stacks, restore.
#if !defined(__x86_64__)
#error "cupusim: port cpusim_switch to this processor, or use ucontext"
#endif
asm(R"(
.text
.globl cpusim_switch
cpusim_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
)");
extern "C" void cpusim_switch(void** save, void* load);

static void leave_fiber(State state) {
  states[current->number] = state;
  cpusim_switch(&current->stack_pointer, scheduler_stack_pointer);
}

static void fiber_main() {
  for (;;) {  // a fiber is used again for every block
    running_function->call(running_arguments);
    leave_fiber(FINISHED);
  }
}

static Fiber* new_fiber(unsigned number) {
  void* stack = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED) {
    perror("cupusim: no memory for a thread's stack");
    abort();
  }
  // The first switch pops six registers and returns into fiber_main, which never returns. There the
  // stack must be 8 off a multiple of 16, as after a call: kernels move 16 aligned bytes at a time.
  // Stacks that end at the same offset would fight for the same lines of the cache.
  void** top = (void**)((char*)stack + STACK_BYTES - number % 128 * 320);
  top[-1] = nullptr;
  top[-2] = (void*)fiber_main;
  Fiber* fiber = new Fiber();
  fiber->stack_pointer = top - 2 - 6;
  fiber->number = number;
  return fiber;
}

extern "C" {
void cpusim_syncthreads() { leave_fiber(AT_BLOCK_BARRIER); }
void cpusim_syncwarp() { leave_fiber(AT_WARP_BARRIER); }

// Replace *value by that of another lane of the warp. `source` is the absolute lane.
void cpusim_shuffle(void* value, size_t size, int source) {
  if (size > sizeof current->slot) {
    fprintf(stderr, "cupusim: a shuffle of %zu bytes is not emulated\n", size);
    abort();
  }
  memcpy(current->slot, value, size);
  leave_fiber(AT_WARP_BARRIER);  // everybody has written
  unsigned other = current->number / WARP * WARP + (source & (WARP - 1));
  if (other < block_size) memcpy(value, fibers[other]->slot, size);
  leave_fiber(AT_WARP_BARRIER);  // everybody has read
}
}

// Let the fibers [begin, end) that wait at `barrier` go on.
static void release(unsigned begin, unsigned end, State barrier) {
  for (unsigned t = begin; t < end; t++)
    if (states[t] == barrier) states[t] = RUNNING;
}

static unsigned waiting(unsigned begin, unsigned end, State state) {
  return std::count(states + begin, states + end, state);
}

static void run_block_with_barriers() {
  while (fibers.size() < block_size) fibers.push_back(new_fiber(fibers.size()));
  for (unsigned t = 0; t < block_size; t++) {
    states[t] = RUNNING;
    fibers[t]->thread = {t % blockDim.x, t / blockDim.x % blockDim.y,
                         t / (blockDim.x * blockDim.y)};
  }
  for (;;) {
    for (unsigned i = 0; i < block_size; i++) {
      Fiber* fiber = fibers[cpusim_reverse ? block_size - 1 - i : i];
      if (states[fiber->number] != RUNNING) continue;
      current = fiber;
      threadIdx = fiber->thread;
      cpusim_switch(&scheduler_stack_pointer, fiber->stack_pointer);
    }
    unsigned live = block_size - waiting(0, block_size, FINISHED);
    if (!live) return;
    if (waiting(0, block_size, AT_BLOCK_BARRIER) == live) {
      release(0, block_size, AT_BLOCK_BARRIER);
      continue;
    }
    bool released = false;  // a warp goes on when all its live threads reached the warp's barrier
    for (unsigned begin = 0; begin < block_size; begin += WARP) {
      unsigned end = std::min(block_size, begin + WARP);
      unsigned at_barrier = waiting(begin, end, AT_WARP_BARRIER);
      if (at_barrier && at_barrier == end - begin - waiting(begin, end, FINISHED)) {
        release(begin, end, AT_WARP_BARRIER);
        released = true;
      }
    }
    if (!released) {
      fprintf(stderr, "cupusim: divergent barrier in %s\n", running_function->name.c_str());
      abort();
    }
  }
}

static void run_block() {
  for (unsigned i = 0; i < block_size; i++) {
    unsigned t = cpusim_reverse ? block_size - 1 - i : i;
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
    running_function->call(running_arguments);
  }
}

// Whether a card of the kind that runtime.cpp describes would take this launch.
static bool launchable(Index3 grid, Index3 block, size_t shared_bytes) {
  if (!grid.x || !grid.y || !grid.z || !block.x || !block.y || !block.z) return false;
  return grid.x <= 2147483647u && grid.y <= 65535 && grid.z <= 65535 &&
         (size_t)block.x * block.y * block.z <= MAX_BLOCK && block.z <= 64 &&
         shared_bytes <= sizeof cpusim_shared_memory;
}

// -------------------------------------------------------------------------------------- driver API
extern "C" {
// An image is the text "CPUSIM:" and the path of the shared library that nvrtc.cpp has built.
int cuModuleLoadData(void** module, const void* image) {
  const char* text = (const char*)image;
  if (strncmp(text, "CPUSIM:", 7)) return INVALID_IMAGE;
  void* library = dlopen(text + 7, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "cupusim: %s\n", dlerror());
    return INVALID_IMAGE;
  }
  *module = new Module{library, {}};
  return SUCCESS;
}

int cuModuleUnload(void*) { return SUCCESS; }

int cuModuleGetFunction(void** function, void* module_handle, const char* name) {
  Module* module = (Module*)module_handle;
  std::lock_guard<std::mutex> guard(device_lock);
  Function*& found = module->functions[name];
  if (!found) {
    void* call = dlsym(module->library, (std::string("cpusim_call_") + name).c_str());
    if (!call) return NOT_FOUND;
    int flags = *(int*)dlsym(module->library, "cpusim_flags");
    found = new Function{(void (*)(void**))call, bool(flags & 1), bool(flags & 2), name};
  }
  *function = found;
  return SUCCESS;
}

int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                   void* /* stream */, void** arguments, void** /* extra */) {
  Index3 grid = {grid_x, grid_y, grid_z}, block = {block_x, block_y, block_z};
  if (!launchable(grid, block, shared_bytes)) return INVALID_VALUE;
  std::lock_guard<std::mutex> guard(device_lock);
  running_function = (Function*)function;
  running_arguments = arguments;
  record_launch(running_function);
  if (running_function->serial) {  // one small block does all the work
    grid = {1, 1, 1};
    block = {cpusim_lanes, 1, 1};
  }
  gridDim = grid;
  blockDim = block;
  block_size = block.x * block.y * block.z;
  size_t blocks = (size_t)grid.x * grid.y * grid.z;
  for (size_t i = 0; i < blocks; i++) {
    size_t b = cpusim_reverse ? blocks - 1 - i : i;
    blockIdx = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y),
                unsigned(b / ((size_t)grid.x * grid.y))};
    if (running_function->cooperative)
      run_block_with_barriers();
    else
      run_block();
  }
  return SUCCESS;
}

int cuGetErrorName(int status, const char** text) {
  *text = status == INVALID_VALUE   ? "CUDA_ERROR_INVALID_VALUE"
          : status == INVALID_IMAGE ? "CUDA_ERROR_INVALID_IMAGE"
          : status == NOT_FOUND     ? "CUDA_ERROR_NOT_FOUND"
                                    : "CUPUSIM_ERROR";
  return SUCCESS;
}
int cuGetErrorString(int status, const char** text) {
  *text = status == INVALID_VALUE   ? "no card would take a launch of this shape (cupusim)"
          : status == INVALID_IMAGE ? "the compiled kernel cannot be loaded (cupusim)"
          : status == NOT_FOUND     ? "no kernel of this name (cupusim)"
                                    : "not emulated by the CPU device (cupusim)";
  return SUCCESS;
}
int cuCtxGetCurrent(void** context) {
  *context = (void*)0x10;
  return SUCCESS;
}
int cuCtxSetCurrent(void*) { return SUCCESS; }
int cuCtxGetDevice(int* device) {
  *device = 0;
  return SUCCESS;
}
int cuStreamGetCtx(void*, void** context) { return cuCtxGetCurrent(context); }
int cuFuncGetAttribute(int* value, int, void*) {
  *value = 0;
  return SUCCESS;
}
int cuFuncSetAttribute(void*, int, int) { return SUCCESS; }
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int, size_t) {
  *blocks = 1;
  return SUCCESS;
}
int cuOccupancyMaxPotentialBlockSize(int* grid, int* block, void*, void*, size_t, int) {
  *grid = 1;
  *block = 256;
  return SUCCESS;
}
}
