/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that are the values of a redis-server, one each, and accesses that are its answers: GETs over a unix socket, as
 * many at a time as a burst has. A value tells which it is; where it lies is looked for in the server's memory.
 */
#ifndef REDIS_H
#define REDIS_H

#include "placed.h"

#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* With what redis and its allocator put before it, no more than a page, and more than the next smaller class. */
#define VALUE 4000
#define MARK "<value %05u>"
/* More than there are pages. */
#define NO_VALUE 99999
#define MARK_BYTES 13
#define REDIS_SOCKET "/run/redis-%d.sock"
#define ASKED_AT_ONCE 64
#define PREFIX "$4000\r\n"
#define ANSWER (sizeof(PREFIX) - 1 + VALUE + 2)

static int server = -1;
static size_t asked_pages[ASKED_AT_ONCE], asked_count;

static void value_of(size_t page, char *value)
{
	memset(value, '.', VALUE);
	snprintf(value, MARK_BYTES + 1, MARK, (unsigned int)(page % (NO_VALUE + 1)));
	value[MARK_BYTES] = '.';
}

static void put(const char *bytes, size_t count)
{
	for (ssize_t sent; count; bytes += sent, count -= sent) {
		sent = write(server, bytes, count);
		if (sent <= 0)
			fail("redis-server takes nothing more: %s", strerror(errno));
	}
}

static void get(char *bytes, size_t count)
{
	for (ssize_t got; count; bytes += got, count -= got) {
		got = read(server, bytes, count);
		if (got <= 0)
			fail("redis-server answers nothing more: %s", strerror(errno));
	}
}

/* What has been asked, and that it is what was stored. */
static void answers(void)
{
	static char asking[ASKED_AT_ONCE * 64], answer[ANSWER], value[VALUE];
	size_t bytes = 0;

	for (size_t each = 0; each < asked_count; each++)
		bytes += sprintf(asking + bytes, "*2\r\n$3\r\nGET\r\n$9\r\nkey:%05zu\r\n", asked_pages[each]);
	put(asking, bytes);
	for (size_t each = 0; each < asked_count; each++) {
		get(answer, ANSWER);
		value_of(asked_pages[each], value);
		if (memcmp(answer, PREFIX, sizeof(PREFIX) - 1) || memcmp(answer + sizeof(PREFIX) - 1, value, VALUE))
			fail("redis-server has another value %zu", asked_pages[each]);
	}
	asked_count = 0;
}

static void ask(size_t page)
{
	asked_pages[asked_count++] = page;
	if (asked_count == ASKED_AT_ONCE)
		answers();
}

static void start_redis(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), REDIS_SOCKET, getpid());
	owner = fork();
	if (!owner) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", address.sun_path, "--save", "",
		       "--appendonly", "no", "--logfile", "/dev/null", (char *)NULL);
		fail("redis-server: %s", strerror(errno));
	}
	server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (int tries = 0; connect(server, (const struct sockaddr *)&address, sizeof(address)); tries++) {
		if (tries == 600)
			fail("redis-server did not start: %s", strerror(errno));
		usleep(100000);
	}
}

static void store(size_t page)
{
	static char value[VALUE], head[64], answer[5];

	value_of(page, value);
	put(head, sprintf(head, "*3\r\n$3\r\nSET\r\n$9\r\nkey:%05zu\r\n$%d\r\n", page, VALUE));
	put(value, VALUE);
	put("\r\n", 2);
	get(answer, sizeof(answer));
	if (memcmp(answer, "+OK\r\n", sizeof(answer)))
		fail("redis-server did not store value %zu", page);
}

/* Values in a part of the server's memory. */
static void find_in(int memory_of, uintptr_t first, uintptr_t end)
{
	static char part[1 << 20];
	static const char mark[] = "<value ";

	for (uintptr_t at = first; at < end; at += sizeof(part) - MARK_BYTES) {
		size_t size = end - at < sizeof(part) ? end - at : sizeof(part);
		ssize_t got = pread(memory_of, part, size, at);
		const char *found = part;

		if (got <= 0)
			return;
		while ((found = memmem(found, part + got - found, mark, sizeof(mark) - 1)) && found + MARK_BYTES <= part + got) {
			size_t page = strtoul(found + sizeof(mark) - 1, NULL, 10);

			uintptr_t address = at + (found - part);

			/* Within one page, as its allocator has it. */
			if (page < asked.pages && !vaddrs[page] && address % PAGE + VALUE <= PAGE)
				vaddrs[page] = (void *)(address & ~(PAGE - 1));
			found += MARK_BYTES;
		}
	}
}

static void find_values(void)
{
	char path[64], line[512], rights[8];
	unsigned long first, end;
	int memory_of;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/mem", owner);
	memory_of = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", owner);
	maps = fopen(path, "re");
	if (memory_of < 0 || !maps)
		fail("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), maps))
		/* Anonymous memory has no path, or the heap's. */
		if (sscanf(line, "%lx-%lx %7s", &first, &end, rights) == 3 && !strncmp(rights, "rw", 2) && !strchr(line, '/'))
			find_in(memory_of, first, end);
	fclose(maps);
	close(memory_of);
	for (size_t page = 0; page < asked.pages; page++)
		if (!vaddrs[page])
			fail("value %zu is nowhere in redis-server's memory", page);
}

static void populate_redis(void)
{
	unsigned long all = (1UL << FAST) | (1UL << SLOW), node = 1UL << (asked.start < 0 ? SLOW : asked.start);

	start_redis();
	for (size_t page = 0; page < asked.pages; page++)
		store(page);
	/* The server's buffer then has no copy of a value that is looked for. */
	store(NO_VALUE);
	/* All of it: the server's tables, too. */
	if (syscall(SYS_migrate_pages, owner, 8 * sizeof(all), &all, &node) < 0)
		fail("migrate_pages: %s", strerror(errno));
	find_values();
}

static void stop_redis(void)
{
	if (owner && (kill(owner, SIGTERM) || waitpid(owner, NULL, 0) != owner))
		fail("redis-server does not end: %s", strerror(errno));
}

#endif
