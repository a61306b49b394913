/*
 * Makes every flush of a file take 2.5 ms and nothing else, for `scripts/bench`: preloaded, it takes the place of fsync
 * and fdatasync.
 *
 * A disk's flush differs seventyfold from machine to machine, so a rate of durable writes says more about the disk than
 * about the server. The real call is left out on purpose: waiting out "the rest of 2.5 ms" after it would let a disk that
 * needs more than that back into the figure. Nothing that is written under this library is durable. It must never be
 * loaded anywhere but in the bench.
 *
 * At the end of the process the number of flushes is written to the file that SLOW_FSYNC_COUNT names: the bench looks
 * there whether the library was in the way at all.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define FLUSH_NANOSECONDS 2500000L

static atomic_ulong flushes;

static int flush(void) {
    struct timespec rest = {0, FLUSH_NANOSECONDS};
    atomic_fetch_add_explicit(&flushes, 1, memory_order_relaxed);
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
    return 0;
}

int fsync(int file) {
    (void)file;
    return flush();
}

int fdatasync(int file) {
    (void)file;
    return flush();
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("SLOW_FSYNC_COUNT");
    FILE *out = path ? fopen(path, "w") : NULL;
    if (out) {
        fprintf(out, "%lu\n", atomic_load(&flushes));
        fclose(out);
    }
}
