// Ranks as threads of one process: the whole of a distributed run, without its transport.
#pragma once
#include <barrier>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include <ATen/ATen.h>

#include "decovec/world/world.hpp"

namespace decovec {

class ThreadRanks {
 public:
  explicit ThreadRanks(int size) : slots_(static_cast<size_t>(size)), barrier_(size) {}

  /// Runs `body` once a rank, each in its own thread; throws what the lowest failing rank threw.
  void run(const std::function<void(World&)>& body) {
    std::vector<std::exception_ptr> errors(slots_.size());
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < slots_.size(); ++rank) {
      threads.emplace_back([&, rank] {
        Rank world(*this, static_cast<int>(rank));
        try {
          body(world);
        } catch (...) {
          errors[rank] = std::current_exception();
          barrier_.arrive_and_drop();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors)
      if (error) std::rethrow_exception(error);
  }

 private:
  class Rank : public World {
   public:
    Rank(ThreadRanks& ranks, int rank) : ranks_(ranks), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(ranks_.slots_.size()); }
    at::Tensor gather(const at::Tensor& rows) override { return at::cat(exchange(rows.detach())); }
    void reduce(at::Tensor& tensor) override {
      at::Tensor sum = at::zeros_like(tensor);
      for (const at::Tensor& part : exchange(tensor.clone())) sum.add_(part);
      tensor.copy_(sum);
    }

   private:
    std::vector<at::Tensor> exchange(at::Tensor own) {
      ranks_.slots_[static_cast<size_t>(rank_)] = std::move(own);
      ranks_.barrier_.arrive_and_wait();
      std::vector<at::Tensor> all = ranks_.slots_;
      ranks_.barrier_.arrive_and_wait();
      return all;
    }
    ThreadRanks& ranks_;
    int rank_;
  };

  std::vector<at::Tensor> slots_;
  std::barrier<> barrier_;
};

}  // namespace decovec
