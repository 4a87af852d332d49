/* A client of many streams at once: it POSTs BODY to PATH on as many connections as asked for, reads every answer to its
 * end, and takes the time of each token by the stamp that upstream.c has put into it ("@<ns> "), however it is wrapped.
 *
 *   cc -O2 -o load load.c && ./load PORT PATH STREAMS BODY_FILE
 *
 * Prints one JSON object. A stream is whole when its last event came: [DONE], chat_completed or done.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_TOKENS (1 << 24)
#define STAMP_LEAST 1000000000LL /* a number after @ that is smaller is no stamp */
#define TAIL 64
#define SILENCE_MS 30000

typedef struct {
    int fd, in_stamp, whole, tail_size;
    long long asked, first, stamp;
    char tail[TAIL];
} Stream;

static long long *delays, *firsts, tokens, started_at, last_at, bytes, reads;
static int count, open_streams, whole, epoll_fd;

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

static char *request_of(const char *port, const char *path, const char *file, int *size) {
    static char body[65536], request[70000];
    FILE *f = fopen(file, "r");
    if (!f) { perror(file); exit(1); }
    int length = fread(body, 1, sizeof body, f);
    fclose(f);
    *size = sprintf(request,
                    "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
                    "Connection: close\r\nContent-Length: %d\r\n\r\n", path, port, length);
    memcpy(request + *size, body, length);
    *size += length;
    return request;
}

static void ask(Stream *s, int port, const char *request, int size) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s->fd, SOL_TCP, TCP_NODELAY, &one, sizeof one);
    s->asked = now_ns();
    if (connect(s->fd, (void *)&address, sizeof address) || write(s->fd, request, size) != size) { perror("connect"); exit(1); }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event);
    open_streams++;
}

static void take(Stream *s, long long now) {
    if (tokens == MOST_TOKENS) return;
    delays[tokens++] = now - s->stamp;
    if (!s->first) { s->first = now; firsts[count++] = now - s->asked; }
    last_at = now;
}

/* Stamps may be cut anywhere by a read; what has been read of one is kept. */
static void scan(Stream *s, const char *data, int size, long long now) {
    for (int i = 0; i < size; i++) {
        char c = data[i];
        if (s->in_stamp && c >= '0' && c <= '9') { s->stamp = s->stamp * 10 + (c - '0'); continue; }
        if (s->in_stamp && s->stamp > STAMP_LEAST) take(s, now);
        s->in_stamp = c == '@', s->stamp = 0;
    }
}

static int has_end(const char *data, int size) {
    return memmem(data, size, "[DONE]", 6) || memmem(data, size, "event: chat_completed", 21) || memmem(data, size, "event: done", 11);
}

static void remember_tail(Stream *s, const char *data, int size) {
    char joined[TAIL * 2];
    int old = s->tail_size, add = size < TAIL ? size : TAIL;
    memcpy(joined, s->tail, old);
    memcpy(joined + old, data, add);
    s->whole |= has_end(joined, old + add) || has_end(data, size);
    int keep = size < TAIL ? size : TAIL;
    memcpy(s->tail, data + size - keep, keep);
    s->tail_size = keep;
}

static void hear(Stream *s) {
    static char data[262144];
    int size = read(s->fd, data, sizeof data);
    if (size <= 0) {
        close(s->fd);
        open_streams--;
        whole += s->whole;
        return;
    }
    reads++, bytes += size;
    scan(s, data, size, now_ns());
    remember_tail(s, data, size);
}

static double ms(const long long *sorted, long long size, double share) {
    return size ? sorted[(long long)((size - 1) * share)] / 1e6 : 0;
}

int main(int argc, char **argv) {
    if (argc != 5) { fprintf(stderr, "usage: load PORT PATH STREAMS BODY_FILE\n"); return 2; }
    int port = atoi(argv[1]), streams = atoi(argv[3]), size, begun = 0;
    struct rlimit limit = {65536, 65536};
    setrlimit(RLIMIT_NOFILE, &limit);
    char *request = request_of(argv[1], argv[2], argv[4], &size);
    Stream *all = calloc(streams, sizeof *all);
    delays = malloc(MOST_TOKENS * sizeof *delays), firsts = malloc((streams + 1) * sizeof *firsts);
    epoll_fd = epoll_create1(0);
    started_at = now_ns();
    struct epoll_event events[1024];
    while (begun < streams || open_streams) {
        for (int i = 0; i < 100 && begun < streams; i++) ask(&all[begun++], port, request, size);
        int n = epoll_wait(epoll_fd, events, 1024, begun < streams ? 1 : SILENCE_MS);
        if (n == 0 && begun == streams) { fprintf(stderr, "%d s of silence\n", SILENCE_MS / 1000); break; }
        for (int i = 0; i < n; i++) hear(events[i].data.ptr);
    }
    qsort(delays, tokens, sizeof *delays, ascending);
    qsort(firsts, count, sizeof *firsts, ascending);
    printf("{\"streams\": %d, \"whole\": %d, \"tokens\": %lld, \"seconds\": %.3f, \"bytes_per_token\": %.0f, \"reads_per_token\": %.3f, "
           "\"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f, \"first_p50_ms\": %.1f, \"first_p99_ms\": %.1f}\n",
           streams, whole, tokens, (last_at - started_at) / 1e9, tokens ? (double)bytes / tokens : 0, tokens ? (double)reads / tokens : 0,
           ms(delays, tokens, .5), ms(delays, tokens, .99), ms(delays, tokens, 1), ms(firsts, count, .5), ms(firsts, count, .99));
    return 0;
}
