// NVRTC stand-in: g++ compiles CuPy's CUDA C++ into a shared library, whose path is handed back as
// "cubin".
//
// The libraries lie in the folder CPUSIM_BUILD under the hash of their source and options, and are
// used again. install() chooses that folder for these sources, this compiler and this CuPy.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <mutex>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

enum Status { SUCCESS = 0, COMPILATION_FAILED = 6, NAME_NOT_VALID = 9 };

struct Program {
  std::string source, log, image;
  std::vector<std::string>
      expressions;  // template instances such as "kernel<float>", which CuPy asks for
  std::vector<std::string> lowered;  // and the names under which they can be found
};

static std::mutex build_lock;

static std::string environment(const char* name, const char* otherwise) {
  const char* value = getenv(name);
  return value && *value ? value : otherwise;
}

static bool exists(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

static bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

static std::string hash(const std::string& text) {
  char digits[32];
  snprintf(digits, sizeof digits, "%016zx", std::hash<std::string>()(text));
  return digits;
}

static std::string quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// Everything is written under a name of this process and then renamed: a file is there whole or not
// at all, whoever else builds the same thing.
static std::string own(const std::string& target) {
  return target + "." + std::to_string(getpid());
}

static void write_file(const std::string& target, const std::string& text) {
  std::ofstream(own(target)) << text;
  rename(own(target).c_str(), target.c_str());
}

static std::string read_file(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Run the compiler with these arguments; its messages go to `log`.
static int compile(const std::string& arguments, const std::string& target, std::string& log) {
  const std::string messages = own(target) + ".log";
  const std::string command = environment("CXX", "g++") + " " + arguments + " -o " +
                              quoted(own(target)) + " > " + quoted(messages) + " 2>&1";
  int status = system(command.c_str());
  log = read_file(messages);
  unlink(messages.c_str());
  return status ? status : rename(own(target).c_str(), target.c_str());
}

// The header to include before everything else, compiled beforehand where the kernel uses CuPy's
// headers. g++ passes over a precompiled header that does not fit the options and reads the header
// itself.
static std::string prefix(const std::string& source, const std::string& options,
                          const std::string& build) {
  const std::string home = environment("CPUSIM_HOME", ".");
  if (!contains(source, "#include <cupy/carray.cuh>")) return home + "/cuda_cpu.h";
  const std::string base = build + "/prefix-" + hash(options), header = base + ".h";
  if (!exists(header + ".gch")) {
    std::string log;
    write_file(header, "#include \"" + home + "/prefix.h\"\n");
    compile(options + " -x c++-header " + quoted(header), header + ".gch", log);
  }
  return header;
}

// Dynamic shared memory: one array of the device. The barrier marks the kernel as cooperative.
static std::string with_shared_memory(const std::string& source) {
  if (!contains(source, "__shared__")) return source;
  static const std::regex declaration(
      "extern\\s+__shared__\\s+([A-Za-z_0-9: ]+?)\\s+(\\w+)\\s*\\[\\s*\\]\\s*;");
  return std::regex_replace(source, declaration,
                            "$1* $2 = ($1*)cpusim_shared_memory; __syncthreads();");
}

// The kernels that can be asked for by their own name: those of C, not the instances of templates.
static std::set<std::string> c_kernels(const std::string& source) {
  static const std::regex block("extern\\s+\"C\"\\s*\\{");
  static const std::regex kernel(
      "(template\\s*<[^;{]*>\\s*)?(extern\\s+\"C\"\\s+)?__global__\\s+void\\s+"
      "(?:__launch_bounds__\\([^)]*\\)\\s*)?([A-Za-z_0-9]+)\\s*\\(");
  const bool in_block = std::regex_search(source, block);
  std::set<std::string> names;
  for (std::sregex_iterator i(source.begin(), source.end(), kernel), end; i != end; ++i)
    if (!(*i)[1].matched && ((*i)[2].matched || in_block)) names.insert((*i)[3]);
  return names;
}

// The kernel's source, how it may be run, and an entry for each kernel that unpacks a launch's
// arguments.
static std::string with_entries(const Program& program) {
  const std::string source = with_shared_memory(program.source);
  const bool cooperative = contains(source, "__syncthreads") || contains(source, "__shared__") ||
                           contains(source, "__shfl") || contains(source, "__syncwarp");
  const bool serial = !cooperative && contains(source, "CUPY_FOR") &&
                      !contains(source, "threadIdx") && !contains(source, "blockIdx");
  std::ostringstream out;
  out << source << "\nextern \"C\" int cpusim_flags = " << (cooperative ? 1 : 0) + (serial ? 2 : 0)
      << R"(;
template <class... A, size_t... I>
static void cpusim_unpack(void (*kernel)(A...), void** p, std::index_sequence<I...>) {
  kernel(*(typename std::remove_const<A>::type*)p[I]...);
}
template <class... A>
static void cpusim_unpack(void (*kernel)(A...), void** p) {
  cpusim_unpack(kernel, p, std::index_sequence_for<A...>());
}
)";
  auto entry = [&out](const std::string& name, const std::string& kernel) {
    out << "extern \"C\" void cpusim_call_" << name << "(void** p) { cpusim_unpack(" << kernel
        << ", p); }\n";
  };
  for (const std::string& name : c_kernels(source)) entry(name, name);
  for (size_t i = 0; i < program.expressions.size(); i++)
    entry(program.lowered[i], program.expressions[i]);
  return out.str();
}

static int give_size(const std::string& text, size_t* size) {
  *size = text.size() + 1;
  return SUCCESS;
}

static int give_text(const std::string& text, char* buffer) {
  strcpy(buffer, text.c_str());
  return SUCCESS;
}

extern "C" {
const char* nvrtcGetErrorString(int) {
  return "NVRTC_ERROR_COMPILATION (cupusim: g++ refused the kernel)";
}

int nvrtcVersion(int* major, int* minor) {
  *major = 13;
  *minor = 0;
  return SUCCESS;
}

int nvrtcCreateProgram(void** program, const char* source, const char*, int, const char**,
                       const char**) {
  *program = new Program{source, "", "", {}, {}};
  return SUCCESS;
}

int nvrtcDestroyProgram(void** program) {
  delete (Program*)*program;
  *program = nullptr;
  return SUCCESS;
}

int nvrtcAddNameExpression(void* handle, const char* expression) {
  Program* program = (Program*)handle;
  program->lowered.push_back("instance" + std::to_string(program->expressions.size()));
  program->expressions.push_back(expression);
  return SUCCESS;
}

int nvrtcGetLoweredName(void* handle, const char* expression, const char** name) {
  Program* program = (Program*)handle;
  for (size_t i = 0; i < program->expressions.size(); i++) {
    if (program->expressions[i] != expression) continue;
    *name = program->lowered[i].c_str();
    return SUCCESS;
  }
  return NAME_NOT_VALID;
}

int nvrtcCompileProgram(void* handle, int option_count, const char** given) {
  Program* program = (Program*)handle;
  const std::string build = environment("CPUSIM_BUILD", ".");
  // No fused multiply-add, so that numbers compare closely with NumPy's (a card does fuse).
  std::string options =
      "-w -O1 -fPIC -shared -fpermissive -ffp-contract=off " + environment("CPUSIM_CXXFLAGS", "");
  for (int i = 0; i < option_count; i++) {
    // Includes, macros and the language version; the rest is NVIDIA's.
    const std::string option = given[i];
    if (option.rfind("-I", 0) == 0 || option.rfind("-D", 0) == 0 || contains(option, "-std"))
      options += " " + quoted(option);
  }
  std::string key = program->source + '\0' + options;
  for (const std::string& expression : program->expressions) key += '\0' + expression;
  const std::string base = build + "/" + hash(key);
  program->image = "CPUSIM:" + base + ".so";
  std::lock_guard<std::mutex> guard(build_lock);
  if (exists(base + ".so")) return SUCCESS;
  write_file(base + ".cpp", with_entries(*program));
  const std::string first = prefix(program->source, options, build);
  const std::string inputs = " -include " + quoted(first) + " " + quoted(base + ".cpp");
  return compile(options + inputs, base + ".so", program->log) ? COMPILATION_FAILED : SUCCESS;
}

int nvrtcGetPTXSize(void* program, size_t* size) {
  return give_size(((Program*)program)->image, size);
}
int nvrtcGetPTX(void* program, char* buffer) {
  return give_text(((Program*)program)->image, buffer);
}
int nvrtcGetCUBINSize(void* program, size_t* size) {
  return give_size(((Program*)program)->image, size);
}
int nvrtcGetCUBIN(void* program, char* buffer) {
  return give_text(((Program*)program)->image, buffer);
}
int nvrtcGetProgramLogSize(void* program, size_t* size) {
  return give_size(((Program*)program)->log, size);
}
int nvrtcGetProgramLog(void* program, char* buffer) {
  return give_text(((Program*)program)->log, buffer);
}

int nvrtcGetNumSupportedArchs(int* number) {
  *number = 1;
  return SUCCESS;
}
int nvrtcGetSupportedArchs(int* architectures) {
  architectures[0] = 90;
  return SUCCESS;
}
}
