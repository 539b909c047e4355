// SPDX-License-Identifier: Apache-2.0
// Sanitizers see pthreads, but not the threads and locks of C11, which librdkafka is made of. With ThreadSanitizer a
// thread made by thrd_create ends the process at its first allocation, and what a C11 lock guards looks unguarded; the
// search for leaks does not look at the stacks of such threads. In builds with a sanitizer the program has these
// functions itself, by pthreads, which glibc's own are under the same types; the dynamic linker takes the program's
// before libc's.
#include "connector/kafka/handle.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SLUICE_SEES_THREADS
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SLUICE_SEES_THREADS
#endif

#ifdef SLUICE_SEES_THREADS
#include <cerrno>
#include <cstdint>
#include <memory>
#include <pthread.h>
#include <threads.h>

namespace {

static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && sizeof(cnd_t) == sizeof(pthread_cond_t));

struct Start {
  thrd_start_t function;
  void* argument;
};

void* run(void* opaque) {
  std::unique_ptr<Start> start(static_cast<Start*>(opaque));
  auto [function, argument] = *start;
  start.reset();
  return reinterpret_cast<void*>(static_cast<std::intptr_t>(function(argument)));
}

int result(int error) {
  return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : error == EBUSY ? thrd_busy : thrd_error;
}

pthread_mutex_t* of(mtx_t* mutex) {
  return reinterpret_cast<pthread_mutex_t*>(mutex);
}

pthread_cond_t* of(cnd_t* condition) {
  return reinterpret_cast<pthread_cond_t*>(condition);
}

}  // namespace

extern "C" {

int thrd_create(thrd_t* thread, thrd_start_t function, void* argument) {
  auto start = std::make_unique<Start>(Start{function, argument});
  int error = pthread_create(thread, nullptr, run, start.get());
  if (error == 0) static_cast<void>(start.release());
  return result(error);
}

int thrd_join(thrd_t thread, int* value) {
  void* out = nullptr;
  int error = pthread_join(thread, &out);
  if (value) *value = static_cast<int>(reinterpret_cast<std::intptr_t>(out));
  return result(error);
}

int thrd_detach(thrd_t thread) {
  return result(pthread_detach(thread));
}

int mtx_init(mtx_t* mutex, int type) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if ((type & mtx_recursive) != 0) pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  int error = pthread_mutex_init(of(mutex), &attributes);
  pthread_mutexattr_destroy(&attributes);
  return result(error);
}

int mtx_lock(mtx_t* mutex) {
  return result(pthread_mutex_lock(of(mutex)));
}

int mtx_trylock(mtx_t* mutex) {
  return result(pthread_mutex_trylock(of(mutex)));
}

int mtx_unlock(mtx_t* mutex) {
  return result(pthread_mutex_unlock(of(mutex)));
}

void mtx_destroy(mtx_t* mutex) {
  pthread_mutex_destroy(of(mutex));
}

int cnd_init(cnd_t* condition) {
  return result(pthread_cond_init(of(condition), nullptr));
}

int cnd_wait(cnd_t* condition, mtx_t* mutex) {
  return result(pthread_cond_wait(of(condition), of(mutex)));
}

int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const struct timespec* until) {
  return result(pthread_cond_timedwait(of(condition), of(mutex), until));
}

int cnd_signal(cnd_t* condition) {
  return result(pthread_cond_signal(of(condition)));
}

int cnd_broadcast(cnd_t* condition) {
  return result(pthread_cond_broadcast(of(condition)));
}

void cnd_destroy(cnd_t* condition) {
  pthread_cond_destroy(of(condition));
}

}  // extern "C"
#endif

namespace sluice::connector::kafka {

// Called so that the linker takes this file.
void make_threads_visible() {}

}  // namespace sluice::connector::kafka
