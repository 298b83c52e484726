// The floor: the same exchanges in C with epoll, doing nothing that the wire does not ask for.
//
//	floor -kind http|tcp -port N [-flights N | -period SECONDS | -once [-laps N]] [-duration SECONDS]   addresses on stdin
//
// Closed loop, paced on ticks of 10 ms, or every address once and all at the same moment. One JSON object is printed.
// Deadlines of 1 s are kept in a FIFO, as our engine does. Compile with: cc -O2 -o floor floor.c
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256, MOST = 1 << 16, MOST_LATE = 1 << 22 };
static const double TICK = 0.01, TIMEOUT = 1.0;

struct flight {
	double deadline; // 0: none in flight on this descriptor
	uint32_t turn;
	char sent;
};
struct waiting {
	int fd;
	uint32_t turn;
};

static struct sockaddr_in *targets;
static int target_count, poller, in_flight, http;
static struct flight flights[MOST];
static struct waiting queue[MOST];
static uint32_t head, tail, turns;
static long probes, failed;
static double *late;
static long late_count;
static char request[MOST][200];

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double peak_megabytes(void)
{
	char line[256];
	double kilobytes = 0;
	FILE *status = fopen("/proc/self/status", "r");
	while (status && fgets(line, sizeof line, status))
		sscanf(line, "VmHWM: %lf", &kilobytes);
	if (status)
		fclose(status);
	return kilobytes / 1024;
}

static void start(int index)
{
	int off = 0, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0 || fd >= MOST) {
		perror("socket");
		exit(1);
	}
	if (http)
		setsockopt(fd, IPPROTO_TCP, 12 /* TCP_QUICKACK */, &off, sizeof off);
	if (connect(fd, (struct sockaddr *)&targets[index], sizeof *targets) < 0 && errno != EINPROGRESS) {
		close(fd);
		probes++, failed++;
		return;
	}
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				    .data.u64 = (uint64_t)index << 32 | (uint32_t)fd};
	epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
	flights[fd] = (struct flight){now() + TIMEOUT, ++turns, 0};
	queue[tail++ % MOST] = (struct waiting){fd, turns};
	in_flight++;
}

static void finish(int fd, int ok)
{
	close(fd);
	flights[fd].deadline = 0;
	in_flight--;
	probes++;
	failed += !ok;
}

static void advance(const struct epoll_event *event)
{
	int fd = (int)(uint32_t)event->data.u64, index = (int)(event->data.u64 >> 32);
	char data[16384];
	struct flight *flight = &flights[fd];
	if (!flight->deadline)
		return;
	if (!flight->sent) {
		if (event->events & (EPOLLERR | EPOLLHUP)) {
			finish(fd, 0);
		} else if (!http) {
			finish(fd, 1);
		} else {
			flight->sent = 1;
			send(fd, request[index % MOST], strlen(request[index % MOST]), MSG_NOSIGNAL);
		}
		return;
	}
	ssize_t got = recv(fd, data, sizeof data, 0);
	if (got < 0 && errno == EAGAIN)
		return;
	finish(fd, got > 12 && !memcmp(data, "HTTP/1.1 2", 10) && memmem(data, got, "\r\n\r\n", 4));
}

static void expire(double time)
{
	for (; head != tail; head++) {
		struct waiting first = queue[head % MOST];
		struct flight *flight = &flights[first.fd];
		if (!flight->deadline || flight->turn != first.turn)
			continue;
		if (flight->deadline > time)
			return;
		finish(first.fd, 0);
	}
}

static void poll_once(int milliseconds)
{
	struct epoll_event events[BATCH];
	int count = epoll_wait(poller, events, BATCH, milliseconds);
	for (int i = 0; i < count; i++)
		advance(&events[i]);
	expire(now());
}

static void closed_loop(int most, double until)
{
	int next = 0;
	while (in_flight || now() < until) {
		while (in_flight < most && now() < until)
			start(next++ % target_count);
		poll_once(100);
	}
}

static void once(void)
{
	for (int i = 0; i < target_count; i++)
		start(i);
	while (in_flight)
		poll_once(100);
}

static void paced(double period, double began, double until)
{
	long turn = 0;
	for (double time; (time = now()) < until;) {
		for (double due; (due = began + turn * period / target_count) <= time; turn++) {
			if (late_count < MOST_LATE)
				late[late_count++] = time - due;
			start(turn % target_count);
		}
		double wake = ceil((now() - began) / TICK) * TICK + began;
		while ((time = now()) < wake)
			poll_once((int)ceil((wake - time) * 1e3));
	}
	while (in_flight)
		poll_once(100);
}

static void read_targets(int port)
{
	char line[64];
	targets = calloc(MOST, sizeof *targets);
	while (fgets(line, sizeof line, stdin) && target_count < MOST) {
		line[strcspn(line, "\n")] = 0;
		targets[target_count].sin_family = AF_INET;
		targets[target_count].sin_port = htons(port);
		inet_pton(AF_INET, line, &targets[target_count].sin_addr);
		snprintf(request[target_count++], sizeof request[0],
			 "GET / HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: floor\r\nAccept: */*\r\nConnection: close\r\n\r\n",
			 line, port);
	}
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double quantile(double q)
{
	return late_count ? late[(long)fmin(late_count - 1, q * late_count)] * 1e3 : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"kind", 1, 0, 'k'}, {"port", 1, 0, 'p'},     {"flights", 1, 0, 'f'},
						{"period", 1, 0, 'P'}, {"duration", 1, 0, 'd'}, {"once", 0, 0, 'o'},
						{"laps", 1, 0, 'l'},   {0}};
	int option, port = 0, most = 100, all_at_once = 0, laps = 1;
	double period = 0, duration = 5;
	while ((option = getopt_long_only(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'k': http = !strcmp(optarg, "http"); break;
		case 'p': port = atoi(optarg); break;
		case 'f': most = atoi(optarg); break;
		case 'P': period = atof(optarg); break;
		case 'd': duration = atof(optarg); break;
		case 'o': all_at_once = 1; break;
		case 'l': laps = atoi(optarg); break;
		default: return 2;
		}
	}
	read_targets(port);
	if (!target_count || !port)
		return 2;
	late = malloc(MOST_LATE * sizeof *late);
	poller = epoll_create1(0);
	double began = now(), before = cpu();
	if (all_at_once)
		while (laps-- > 0)
			once();
	else if (period > 0)
		paced(period, began, began + duration);
	else
		closed_loop(most, began + duration);
	double used = cpu() - before, wall = now() - began;
	qsort(late, late_count, sizeof *late, ascending);
	printf("{\"peer\": \"floor\", \"probes\": %ld, \"failed\": %ld, \"seconds\": %f, \"cpuMicroseconds\": %f, "
	       "\"probesPerSecond\": %f, \"megabytes\": %f, \"lateMilliseconds\": {\"p50\": %f, \"p99\": %f, \"max\": %f}}\n",
	       probes, failed, wall, used / probes * 1e6, probes / wall, peak_megabytes(), quantile(.5), quantile(.99),
	       quantile(1));
	return 0;
}
