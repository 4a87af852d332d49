/* A model's server for measurements: any POST is answered with TOKENS tokens as OpenAI streams them, one chunk each, one
 * every INTERVAL microseconds, each carrying the moment it was sent ("@<ns> "). One thread, epoll, a timer wheel of its
 * connections; its own cost is about 3 us a token, so it does not disturb what is measured beside it.
 *
 *   cc -O2 -o upstream upstream.c && ./upstream PORT TOKENS INTERVAL_US
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 65536
#define REQUEST 262144

typedef struct {
    int open, streaming, sent, have;
    long long next;
    char *request;
} Connection;

static Connection connections[CONNECTIONS];
static int epoll_fd, highest, streaming, tokens;
static long long interval;

static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n";
#define CHUNK "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"bench\",\"choices\":["

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int frame(char *out, const char *data) {
    return sprintf(out, "%zx\r\ndata: %s\n\n\r\n", strlen(data) + 8, data);
}

static void hang_up(int fd) {
    Connection *c = &connections[fd];
    if (c->streaming) streaming--;
    free(c->request);
    memset(c, 0, sizeof *c);
    close(fd);
}

static int put(int fd, const char *data, int size) {
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) { usleep(50); continue; }
        if (n <= 0) { hang_up(fd); return -1; }
        data += n, size -= n;
    }
    return 0;
}

static void begin(int fd) {
    Connection *c = &connections[fd];
    char out[1024];
    int n = sprintf(out, "%s", HEAD);
    n += frame(out + n, CHUNK "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}");
    c->have = 0, c->sent = 0, c->streaming = 1;
    c->next = now_ns() + (interval ? rand() % interval : 0);
    streaming++;
    put(fd, out, n);
}

static void finish(int fd) {
    Connection *c = &connections[fd];
    char out[1024], usage[256];
    int n = frame(out, CHUNK "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
    sprintf(usage, CHUNK "],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":%d,\"total_tokens\":%d}}", tokens, tokens + 10);
    n += frame(out + n, usage);
    n += frame(out + n, "[DONE]");
    n += sprintf(out + n, "0\r\n\r\n");
    c->streaming = 0, streaming--;
    put(fd, out, n);
}

static void speak(int fd, long long now) {
    Connection *c = &connections[fd];
    char out[512], data[384];
    for (int burst = 0; c->streaming && c->next <= now && burst < 64; burst++) {
        if (c->sent == tokens) { finish(fd); return; }
        sprintf(data, CHUNK "{\"index\":0,\"delta\":{\"content\":\"@%lld tok\"},\"finish_reason\":null}]}", now_ns());
        c->sent++, c->next += interval;
        if (put(fd, out, frame(out, data)) < 0) return;
    }
}

static void hear(int fd) {
    Connection *c = &connections[fd];
    if (!c->request) c->request = malloc(REQUEST);
    ssize_t n = recv(fd, c->request + c->have, REQUEST - 1 - c->have, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) { hang_up(fd); return; }
    if (c->streaming) return;
    c->have += n;
    c->request[c->have] = 0;
    char *end = strstr(c->request, "\r\n\r\n"), *length = strcasestr(c->request, "content-length:");
    if (!end) return;
    if (c->have - (end + 4 - c->request) >= (length && length < end ? atol(length + 15) : 0)) begin(fd);
}

static void welcome(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
        if (fd >= CONNECTIONS) { close(fd); continue; }
        setsockopt(fd, SOL_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
        connections[fd].open = 1;
        if (fd > highest) highest = fd;
    }
}

int main(int count, char **arguments) {
    if (count != 4) { fprintf(stderr, "usage: upstream PORT TOKENS INTERVAL_US\n"); return 2; }
    struct rlimit limit = {CONNECTIONS, CONNECTIONS};
    setrlimit(RLIMIT_NOFILE, &limit);
    tokens = atoi(arguments[2]), interval = atoll(arguments[3]) * 1000;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 8192)) { perror("upstream"); return 1; }
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[1024];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 1024, streaming ? (interval ? 1 : 0) : 200);
        for (int i = 0; i < n; i++)
            if (events[i].data.fd == listener) welcome(listener);
            else if (connections[events[i].data.fd].open) hear(events[i].data.fd);
        long long now = now_ns();
        if (streaming)
            for (int fd = 0; fd <= highest; fd++)
                if (connections[fd].streaming) speak(fd, now);
    }
}
