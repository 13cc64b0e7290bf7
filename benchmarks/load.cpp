// Times the mapping and the loading of a model folder, and prints the most anonymous memory that loading took
// beside the size of the model's weights. Mapped files are not anonymous memory: the system takes their pages
// back at will.
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <thread>

#include <decovec/decovec.hpp>

#include "timing.hpp"

namespace {

// Bytes of this process's memory that no file stands behind.
int64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key; std::getline(status, key)) {
    if (int64_t kilobytes = 0; key == "RssAnon:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

// The most that was seen while `work` ran, looked at every millisecond.
int64_t peak_anonymous_bytes(const std::function<void()>& work) {
  std::atomic<int64_t> peak = 0;
  const std::jthread watcher([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      peak = std::max(peak.load(), anonymous_bytes());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  work();
  return std::max(peak.load(), anonymous_bytes());
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, at::ScalarType> dtypes = {
      {"float32", at::kFloat}, {"bfloat16", at::kBFloat16}, {"float16", at::kHalf}};
  if (argc < 2 || argc > 3 || (argc == 3 && !dtypes.contains(argv[2]))) {
    std::cerr << "usage: benchmark_load MODEL_FOLDER [bfloat16|float16|float32]\n";
    return 2;
  }
  try {
    int64_t tensors = 0, file_bytes = 0;
    const double mapping = seconds_of([&] {
      const auto files = decovec::TensorFiles::open(argv[1]);
      for (const std::string& name : files.names()) tensors += files.tensor(name).defined();
      file_bytes = files.bytes();
    });
    std::cout << tensors << " tensors of " << static_cast<double>(file_bytes) / 1e9 << " GB mapped in "
              << mapping << " s\n";
    const int64_t before = anonymous_bytes();
    std::optional<decovec::Embedder> model;
    double loading = 0;
    const int64_t peak = peak_anonymous_bytes([&] {
      loading = seconds_of([&] {
        model = decovec::Embedder::load(argv[1], {.dtype = dtypes.at(argc == 3 ? argv[2] : "bfloat16"),
                                                  .pooling = decovec::Pooling::mean});
      });
    });
    int64_t weights = 0;
    for (const decovec::Parameter& parameter : model->parameters())
      weights += static_cast<int64_t>(parameter.value().nbytes());
    std::cout << "loaded in " << loading << " s; weights " << static_cast<double>(weights) / 1e9
              << " GB, peak anonymous memory " << static_cast<double>(peak - before) / 1e9 << " GB, "
              << static_cast<double>(peak - before) / static_cast<double>(weights) << " times the weights\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
