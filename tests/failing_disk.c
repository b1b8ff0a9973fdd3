/* A disk that fails below one folder: each call that makes, fills, renames or seals a file there is counted, and from
   the `at`-th on (once: at it alone) fails with `code`. A write that fails with `torn` set first writes half.
   Loaded before the C library (LD_PRELOAD), so that SQLite, Arrow and Python meet the same disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static long count, at;
static int code, once, torn;

void disk_arm(const char *folder, long fails_at, int error, int only_once, int half) {
    snprintf(root, sizeof root, "%s", folder);
    count = 0, at = fails_at, code = error, once = only_once, torn = half;
}

long disk_count(void) { return count; }

/* Whether this call fails; `first` says whether it is the first to do so. */
static int fails(int *first) {
    long now = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    *first = now == at;
    return at && (once ? now == at : now >= at);
}

/* A name is changed on a full disk too: only where this very call is to fail. */
static int fails_alone(void) {
    int first;
    fails(&first);
    return first;
}

static int below(const char *path) {
    char whole[PATH_MAX];
    if (!*root || !path) return 0;
    if (*path != '/') {
        if (!getcwd(whole, sizeof whole)) return 0;
        path = whole;
    }
    return !strncmp(path, root, strlen(root));
}

static int below_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!*root) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return below(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(ours) do { int first; if ((ours) && fails(&first)) { errno = code; return -1; } } while (0)

#define OPEN(name)                                                                   \
    int name(const char *path, int flags, ...) {                                     \
        va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
        FAIL_IF((flags & (O_CREAT | O_TRUNC)) && below(path));                       \
        return REAL(name)(path, flags, mode);                                        \
    }
OPEN(open) OPEN(open64)

#define OPENAT(name)                                                                 \
    int name(int folder, const char *path, int flags, ...) {                         \
        va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
        FAIL_IF((flags & (O_CREAT | O_TRUNC)) && below(path));                       \
        return REAL(name)(folder, path, flags, mode);                                \
    }
OPENAT(openat) OPENAT(openat64)

#define WRITE(name, params, given, half)                                             \
    ssize_t name params {                                                            \
        int first;                                                                   \
        if (below_fd(fd) && fails(&first)) {                                         \
            if (first && torn && size > 1) return REAL(name) half;                   \
            errno = code;                                                            \
            return -1;                                                               \
        }                                                                            \
        return REAL(name) given;                                                     \
    }
WRITE(write, (int fd, const void *data, size_t size), (fd, data, size), (fd, data, size / 2))
WRITE(pwrite, (int fd, const void *data, size_t size, off_t place), (fd, data, size, place), (fd, data, size / 2, place))
WRITE(pwrite64, (int fd, const void *data, size_t size, off64_t place), (fd, data, size, place), (fd, data, size / 2, place))

ssize_t writev(int fd, const struct iovec *parts, int number) {
    FAIL_IF(below_fd(fd));
    return REAL(writev)(fd, parts, number);
}
ssize_t copy_file_range(int in, off64_t *from, int fd, off64_t *to, size_t size, unsigned flags) {
    FAIL_IF(below_fd(fd));
    return REAL(copy_file_range)(in, from, fd, to, size, flags);
}
ssize_t sendfile64(int fd, int in, off64_t *from, size_t size) {
    FAIL_IF(below_fd(fd));
    return ((ssize_t(*)(int, int, off64_t *, size_t))dlsym(RTLD_NEXT, "sendfile64"))(fd, in, from, size);
}
ssize_t sendfile(int fd, int in, off_t *from, size_t size) { return sendfile64(fd, in, from, size); }
int posix_fallocate(int fd, off_t place, off_t size) {
    int first;
    if (below_fd(fd) && fails(&first)) return code;
    return REAL(posix_fallocate)(fd, place, size);
}
int fsync(int fd) { FAIL_IF(below_fd(fd)); return REAL(fsync)(fd); }
int fdatasync(int fd) { FAIL_IF(below_fd(fd)); return REAL(fdatasync)(fd); }
int mkdir(const char *path, mode_t mode) { FAIL_IF(below(path)); return REAL(mkdir)(path, mode); }
int rename(const char *from, const char *to) {
    if (below(to) && fails_alone()) { errno = code; return -1; }
    return REAL(rename)(from, to);
}
int symlink(const char *from, const char *to) { FAIL_IF(below(to)); return REAL(symlink)(from, to); }
int link(const char *from, const char *to) { FAIL_IF(below(to)); return REAL(link)(from, to); }
