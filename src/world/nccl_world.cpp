#include "world/nccl_world.hpp"

#include <algorithm>
#include <array>
#include <dlfcn.h>
#include <vector>

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "io/error.hpp"
#include "world/collective_world.hpp"
#include "world/mpi_world.hpp"

namespace decovec {
namespace {

// The part of NCCL's C interface that is used here, by the names and values of nccl.h (NCCL 2). The library
// comes with LibTorch's CUDA libraries and is loaded with them, so building needs neither its headers nor a
// toolkit.
struct Nccl {
  using Communicator = void*;
  using Id = std::array<char, 128>;  // ncclUniqueId
  enum Type { kInt8 = 0, kInt64 = 4, kFloat = 7, kDouble = 8 };
  static constexpr int kSum = 0;

  int (*get_unique_id)(Id*);
  int (*init_rank)(Communicator*, int ranks, Id, int rank);
  int (*all_reduce)(const void* send, void* receive, size_t count, int type, int operation, Communicator,
                    void* stream);
  int (*reduce)(const void* send, void* receive, size_t count, int type, int operation, int root,
                Communicator, void* stream);
  int (*broadcast)(const void* send, void* receive, size_t count, int type, int root, Communicator,
                   void* stream);
  int (*group_start)();
  int (*group_end)();
  int (*destroy)(Communicator);
  int (*abort)(Communicator);
  const char* (*error_string)(int);

  Nccl() {
    void* library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr) {
      const char* reason = dlerror();
      fail("NCCL: does not load ({}); install a LibTorch with CUDA and its NVIDIA libraries",
           reason != nullptr ? reason : "no reason given");
    }
    const auto load = [&](auto& function, const char* name) {
      void* symbol = dlsym(library, name);
      if (symbol == nullptr) fail("NCCL: no function {}; expected NCCL 2", name);
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
    };
    load(get_unique_id, "ncclGetUniqueId");
    load(init_rank, "ncclCommInitRank");
    load(all_reduce, "ncclAllReduce");
    load(reduce, "ncclReduce");
    load(broadcast, "ncclBroadcast");
    load(group_start, "ncclGroupStart");
    load(group_end, "ncclGroupEnd");
    load(destroy, "ncclCommDestroy");
    load(abort, "ncclCommAbort");
    load(error_string, "ncclGetErrorString");
  }

  void check(int status, const char* call) const {
    if (status != 0) fail("NCCL: {}: {}", call, error_string(status));
  }
};

class NcclWorld : public CollectiveWorld {
 public:
  NcclWorld(int rank, int size, at::Device device, const std::function<Nccl::Id(const Nccl::Id*)>& share)
      : CollectiveWorld(device), rank_(rank), size_(size) {
    const c10::DeviceGuard guard(this->device());
    Nccl::Id id{};
    if (rank == 0) nccl_.check(nccl_.get_unique_id(&id), "ncclGetUniqueId");
    id = share(rank == 0 ? &id : nullptr);
    nccl_.check(nccl_.init_rank(&communicator_, size, id, rank), "ncclCommInitRank");
  }
  ~NcclWorld() override { nccl_.destroy(communicator_); }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  // mpirun and torchrun end the others when this process ends, and srun with --kill-on-bad-exit.
  void abort() override {
    nccl_.abort(communicator_);
    std::_Exit(1);
  }

 private:
  void gather_rows(const at::Tensor& own, const std::vector<int64_t>& counts, int64_t row_bytes,
                   at::Tensor& all) override {
    auto* place = static_cast<char*>(all.data_ptr());
    for_each_part(counts, [&](int rank, int64_t rows) {
      const int64_t bytes = rows * row_bytes;
      nccl_.check(nccl_.broadcast(own.const_data_ptr(), place, static_cast<size_t>(bytes), Nccl::kInt8, rank,
                                  communicator_, stream()),
                  "ncclBroadcast");
      place += bytes;
    });
  }

  void sum(at::Tensor& values) override {
    nccl_.check(nccl_.all_reduce(values.data_ptr(), values.data_ptr(), static_cast<size_t>(values.numel()),
                                 type_of(values), Nccl::kSum, communicator_, stream()),
                "ncclAllReduce");
  }

  // ncclReduceScatter wants parts of one size.
  void sum_parts(const at::Tensor& values, const std::vector<int64_t>& sizes, at::Tensor& own) override {
    const auto* place = static_cast<const char*>(values.const_data_ptr());
    for_each_part(sizes, [&](int rank, int64_t count) {
      nccl_.check(nccl_.reduce(place, own.data_ptr(), static_cast<size_t>(count), type_of(values), Nccl::kSum,
                               rank, communicator_, stream()),
                  "ncclReduce");
      place += count * static_cast<int64_t>(values.element_size());
    });
  }

  // One call a rank, as one operation.
  template <class Body>
  void for_each_part(const std::vector<int64_t>& sizes, Body&& body) {
    nccl_.check(nccl_.group_start(), "ncclGroupStart");
    for (int rank = 0; rank < size_; ++rank)
      if (const int64_t size = sizes[static_cast<size_t>(rank)]; size > 0) body(rank, size);
    nccl_.check(nccl_.group_end(), "ncclGroupEnd");
  }

  static int type_of(const at::Tensor& tensor) {
    return summed_type<int>(tensor, Nccl::kFloat, Nccl::kDouble, Nccl::kInt64);
  }
  // Of LibTorch's current stream, so that collectives keep their place among its operations.
  void* stream() const {
    const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    return guard.getStreamNativeHandle(guard.getStream(this->device()));
  }

  Nccl nccl_;
  int rank_, size_;
  Nccl::Communicator communicator_ = nullptr;
};

}  // namespace

std::unique_ptr<World> nccl_world(const Launch& launch, at::Device device) {
  if (launch.launcher == "mpirun") {
    const std::unique_ptr<World> messenger = mpi_world(launch.size);
    return std::make_unique<NcclWorld>(launch.rank, launch.size, device, [&](const Nccl::Id* own) {
      Nccl::Id id = own != nullptr ? *own : Nccl::Id{};
      const int64_t rows = own != nullptr ? 1 : 0;
      const at::Tensor shared = messenger->gather(
          at::from_blob(id.data(), {1, static_cast<int64_t>(id.size())}, at::kChar).narrow(0, 0, rows));
      std::copy_n(static_cast<const char*>(shared.const_data_ptr()), id.size(), id.begin());
      return id;
    });
  }
  if (launch.master_address.empty()) {
    fail(
        "join_world: MASTER_ADDR: expected the machine of rank 0, got none; with srun, export "
        "MASTER_ADDR=$(scontrol "
        "show hostnames | head -n 1)");
  }
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(launch.master_port);
  options.isServer = launch.rank == 0 && !launch.master_listens;
  options.waitWorkers = false;
  const auto store = c10::make_intrusive<c10d::TCPStore>(launch.master_address, options);
  return std::make_unique<NcclWorld>(launch.rank, launch.size, device, [&](const Nccl::Id* own) {
    // The launcher's store outlives a failed start of the ranks, and so does its id.
    const std::string key = "decovec/nccl_id/" + launch.attempt;
    if (own != nullptr) store->set(key, std::vector<uint8_t>(own->begin(), own->end()));
    const std::vector<uint8_t> bytes = store->get(key);
    Nccl::Id id{};
    if (bytes.size() != id.size()) fail("NCCL: expected an id of {} bytes, got {}", id.size(), bytes.size());
    std::copy(bytes.begin(), bytes.end(), id.begin());
    return id;
  });
}

}  // namespace decovec
