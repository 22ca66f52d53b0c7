// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "host.h"

#define NODES "/sys/devices/system/node"
#define BLOCKS "/sys/devices/system/memory"

void fatal(const char *format, ...)
{
	int error = errno;
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "# ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, ": %s\n", strerror(error));
	va_end(arguments);
	fflush(stdout);
	_exit(1);
}

bool read_text(const char *path, char *text, size_t size)
{
	size_t length = 0;
	ssize_t got = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while (length < size - 1 && (got = read(fd, text + length, size - 1 - length)) > 0)
		length += got;
	close(fd);
	if (got < 0)
		return false;
	while (length && text[length - 1] == '\n')
		length--;
	text[length] = '\0';
	return true;
}

long read_number(const char *path)
{
	char text[64], *end;
	long number;

	if (!read_text(path, text, sizeof(text)))
		return -1;
	number = strtol(text, &end, 0);
	return end == text ? -1 : number;
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int result = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		result = -errno;
	close(fd);
	return result;
}

int write_number(const char *path, long number)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", number);
	return write_text(path, text);
}

bool chosen_word(const char *path, char *word, size_t size)
{
	char text[256], *open, *close;

	if (!read_text(path, text, sizeof(text)))
		return false;
	open = strchr(text, '[');
	close = open ? strchr(open, ']') : NULL;
	if (!close)
		return false;
	snprintf(word, size, "%.*s", (int)(close - open - 1), open + 1);
	return true;
}

bool setting_change(struct setting *setting, const char *path, const char *value)
{
	snprintf(setting->path, sizeof(setting->path), "%s", path);
	if (!chosen_word(path, setting->before, sizeof(setting->before)) &&
	    !read_text(path, setting->before, sizeof(setting->before)))
		goto nothing;
	if (!write_text(path, value))
		return true;
nothing:
	setting->path[0] = '\0';
	return false;
}

void setting_restore(struct setting *setting)
{
	if (setting->path[0] && write_text(setting->path, setting->before))
		fatal("%s: cannot write back %s", setting->path, setting->before);
	setting->path[0] = '\0';
}

/* The first node of a list such as 0-1,3 that is not `other`, or -1. */
static int first_node(const char *list, int other)
{
	while (*list) {
		char *end;
		long first = strtol(list, &end, 10), last = first;

		if (end == list)
			return -1;
		if (*end == '-')
			last = strtol(end + 1, &end, 10);
		for (; first <= last; first++)
			if (first != other)
				return first;
		list = *end == ',' ? end + 1 : end;
	}
	return -1;
}

static long isolated_pages(void)
{
	return vm_counter("nr_isolated_anon") + vm_counter("nr_isolated_file");
}

const char *machine_open(struct machine *machine)
{
	char with_cpu[128], with_memory[128];

	if (!read_text(NODES "/has_cpu", with_cpu, sizeof(with_cpu)) ||
	    !read_text(NODES "/has_memory", with_memory, sizeof(with_memory)))
		return "needs a kernel with CONFIG_NUMA";
	machine->fast = first_node(with_cpu, -1);
	machine->slow = first_node(with_memory, machine->fast);
	if (machine->fast < 0 || machine->slow < 0)
		return "needs two nodes with memory";
	if (call_number() < 0)
		return "needs a kernel with CONFIG_MOVE_PHY_PAGES";
	if (geteuid())
		return "needs root";
	stay_on_cpu(0);
	machine->isolated = isolated_pages();
	return NULL;
}

bool machine_settled(const struct machine *machine)
{
	for (int tries = 0; tries < 100; tries++) {
		if (isolated_pages() == machine->isolated)
			return true;
		sleep_ms(10);
	}
	fprintf(stderr, "# %ld pages isolated, %ld before the test\n", isolated_pages(),
		machine->isolated);
	return false;
}

long vm_counter(const char *name)
{
	char text[16384], line[80], *found;

	/* Collects what each CPU still has to report. */
	read_number("/proc/sys/vm/stat_refresh");
	if (!read_text("/proc/vmstat", text + 1, sizeof(text) - 1))
		return -1;
	text[0] = '\n';
	snprintf(line, sizeof(line), "\n%s ", name);
	found = strstr(text, line);
	return found ? atol(found + strlen(line)) : -1;
}

long node_meminfo(int node, const char *name)
{
	char path[80], text[8192], key[80], *found;

	snprintf(path, sizeof(path), NODES "/node%d/meminfo", node);
	snprintf(key, sizeof(key), "Node %d %s:", node, name);
	if (!read_text(path, text, sizeof(text)))
		return -1;
	found = strstr(text, key);
	return found ? atol(found + strlen(key)) * 1024 : -1;
}

long node_low_watermark(int node)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	int here = -1;
	long pages = 0, low;
	char line[160];

	while (file && fgets(line, sizeof(line), file)) {
		sscanf(line, "Node %d, zone", &here);
		if (here == node && sscanf(line, " low %ld", &low) == 1)
			pages += low;
	}
	if (file)
		fclose(file);
	return pages * getpagesize();
}

void stay_on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fatal("cannot stay on CPU %d", cpu);
}

int cpus_online(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

void sleep_ms(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

double now_seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void cgroup_path(char *path, size_t size, const char *name, const char *file)
{
	snprintf(path, size, CGROUPS "/%s%s%s", name, *file ? "/" : "", file);
}

bool cgroup_make(const char *name)
{
	char path[160];

	cgroup_path(path, sizeof(path), name, "");
	return !mkdir(path, 0755) || errno == EEXIST;
}

void cgroup_remove(const char *name)
{
	char path[160];

	cgroup_path(path, sizeof(path), name, "");
	/* A member that has ended leaves its cgroup a moment later. */
	for (int tries = 0; rmdir(path) && errno == EBUSY && tries < 100; tries++)
		sleep_ms(10);
}

int cgroup_set(const char *name, const char *file, const char *value)
{
	char path[160];

	cgroup_path(path, sizeof(path), name, file);
	return write_text(path, value);
}

int cgroup_enter(const char *name)
{
	return cgroup_set(name, "cgroup.procs", "0");
}

unsigned long block_bytes(void)
{
	char text[32];

	if (!read_text(BLOCKS "/block_size_bytes", text, sizeof(text)))
		return 0;
	return strtoul(text, NULL, 16);
}

int block_set_online(int block, bool online)
{
	char path[160];

	snprintf(path, sizeof(path), BLOCKS "/memory%d/state", block);
	if (!online)
		return write_text(path, "offline");
	/* Without a word about it, the kernel would put its own pages there, and never let go. */
	if (!write_text(path, "online_movable"))
		return 0;
	return write_text(path, "online");
}

static int descending(const void *a, const void *b)
{
	return *(const int *)b - *(const int *)a;
}

int removable_block(int node)
{
	char path[160], zones[64];
	int blocks[1024], count = 0;
	struct dirent *entry;
	DIR *folder;

	snprintf(path, sizeof(path), NODES "/node%d", node);
	folder = opendir(path);
	if (!folder)
		return -1;
	while (count < 1024 && (entry = readdir(folder))) {
		if (sscanf(entry->d_name, "memory%d", &blocks[count]) != 1)
			continue;
		snprintf(path, sizeof(path), BLOCKS "/memory%d/valid_zones", blocks[count]);
		count += read_text(path, zones, sizeof(zones)) && strcmp(zones, "none");
	}
	closedir(folder);
	qsort(blocks, count, sizeof(*blocks), descending);
	/* Where the kernel has memory of its own is for the kernel to tell. */
	for (int i = 0; i < count; i++)
		if (!block_set_online(blocks[i], false) && !block_set_online(blocks[i], true))
			return blocks[i];
	return -1;
}
