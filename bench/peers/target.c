// What is probed: answers every connection on every loopback address. It prints its port, and ends with its stdin.
//
//	target         HTTP/1.1: 200 with a short body to the first piece of a request, then closes (so do TCP probes)
//
// Compile with: cc -O2 -o target target.c
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 256, BACKLOG = 4096 };

static const char answer[] =
	"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
	"Content-Length: 3\r\nConnection: close\r\nCache-Control: no-store\r\n\r\nok\n";

static int poller;

static void watch(int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) {
		perror("epoll_ctl");
		exit(1);
	}
}

static int listening(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = INADDR_ANY};
	socklen_t size = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
		perror("listen");
		exit(1);
	}
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static void serve(int fd)
{
	char request[4096];
	ssize_t got = recv(fd, request, sizeof request, 0);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got > 0)
		(void)!send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
	close(fd);
}

int main(void)
{
	struct epoll_event events[BATCH];
	poller = epoll_create1(0);
	int listener = listening();
	watch(listener, EPOLLIN);
	watch(STDIN_FILENO, EPOLLIN | EPOLLHUP);
	for (;;) {
		int count = epoll_wait(poller, events, BATCH, -1);
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;
			if (fd == STDIN_FILENO)
				return 0;
			if (fd != listener) {
				serve(fd);
				continue;
			}
			int client;
			while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
				watch(client, EPOLLIN);
		}
	}
}
