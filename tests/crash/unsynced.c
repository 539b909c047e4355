// SPDX-License-Identifier: Apache-2.0
// Preloaded into the server, it notes for each file below $UNSYNCED_DIR how many bytes were synced to disk. After a kill -9
// the test cuts every file back to that length: what a power cut may leave of a file that is only appended to (which is what
// the queue's engine writes: logs, tables, manifests).
//
// 1. A write counts as kept only when an fsync or fdatasync that began after it has returned. sync_file_range promises
//    nothing about the file's size, so it counts as no sync.
// 2. The table is a shared mapping of $UNSYNCED_TABLE: it is intact however the process ends.
// 3. Files are told by inode, so a rename changes nothing. Directory entries count as kept.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kFds = 65536, kEntries = 65536 };

struct entry {
  uint64_t inode;
  uint64_t synced;
};

static char directory[PATH_MAX];
static size_t directory_length;
static struct entry* table;
static unsigned char tracked[kFds];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int (*real_open)(const char*, int, ...);
static int (*real_openat)(int, const char*, int, ...);
static int (*real_close)(int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);

__attribute__((constructor)) static void start(void) {
  real_open = dlsym(RTLD_NEXT, "open");
  real_openat = dlsym(RTLD_NEXT, "openat");
  real_close = dlsym(RTLD_NEXT, "close");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
  const char* wanted = getenv("UNSYNCED_DIR");
  const char* path = getenv("UNSYNCED_TABLE");
  if (!wanted || !path) return;
  const int fd = real_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || real_ftruncate(fd, kEntries * sizeof(struct entry)) != 0) return;
  void* mapped = mmap(NULL, kEntries * sizeof(struct entry), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  real_close(fd);
  if (mapped == MAP_FAILED) return;
  table = mapped;
  strncpy(directory, wanted, sizeof directory - 1);
  directory_length = strlen(directory);
}

// The entry of an inode, made when it is not there. The mutex is held.
static struct entry* find(uint64_t inode) {
  for (size_t i = 0; i < kEntries; ++i) {
    struct entry* entry = &table[(inode * 2654435761u + i) % kEntries];
    if (entry->inode == inode) return entry;
    if (entry->inode == 0) {
      entry->inode = inode;
      entry->synced = 0;
      return entry;
    }
  }
  abort();
}

static int below(const char* path) {
  return directory_length != 0 && strncmp(path, directory, directory_length) == 0 && path[directory_length] == '/';
}

static int opened(int fd, const char* path, int flags) {
  if (fd < 0 || !table || !below(path) || (flags & O_ACCMODE) == O_RDONLY || fd >= kFds) return fd;
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return fd;
  pthread_mutex_lock(&mutex);
  tracked[fd] = 1;
  struct entry* entry = find(status.st_ino);
  // New, or an inode used again.
  if (entry->synced > (uint64_t)status.st_size) entry->synced = (uint64_t)status.st_size;
  pthread_mutex_unlock(&mutex);
  return fd;
}

static mode_t mode_of(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                             \
  int name(const char* path, int flags, ...) {                 \
    va_list arguments;                                         \
    va_start(arguments, flags);                                \
    const mode_t mode = mode_of(flags, arguments);             \
    va_end(arguments);                                         \
    return opened(real_open(path, flags, mode), path, flags);  \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                     \
  int name(int at, const char* path, int flags, ...) {                   \
    va_list arguments;                                                   \
    va_start(arguments, flags);                                          \
    const mode_t mode = mode_of(flags, arguments);                       \
    va_end(arguments);                                                   \
    return opened(real_openat(at, path, flags, mode), path, flags);      \
  }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
  if (fd >= 0 && fd < kFds) tracked[fd] = 0;
  return real_close(fd);
}

static int synced(int fd, int (*real)(int)) {
  struct stat before;
  const int known = table && fd >= 0 && fd < kFds && tracked[fd] && fstat(fd, &before) == 0;
  const int result = real(fd);
  if (known && result == 0) {
    pthread_mutex_lock(&mutex);
    struct entry* entry = find(before.st_ino);
    if (entry->synced < (uint64_t)before.st_size) entry->synced = (uint64_t)before.st_size;
    pthread_mutex_unlock(&mutex);
  }
  return result;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

static int cut(int fd, off_t size) {
  const int result = real_ftruncate(fd, size);
  struct stat status;
  if (result == 0 && table && fd >= 0 && fd < kFds && tracked[fd] && fstat(fd, &status) == 0) {
    pthread_mutex_lock(&mutex);
    struct entry* entry = find(status.st_ino);
    if (entry->synced > (uint64_t)size) entry->synced = (uint64_t)size;
    pthread_mutex_unlock(&mutex);
  }
  return result;
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off_t size) { return cut(fd, size); }
