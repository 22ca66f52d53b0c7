/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device that counts accesses would tell the agent (docs/reference/feed-socket.md): one of `asked.sampled`
 * accesses, drawn by lot, by the physical address that its page has when it is told.
 */
#ifndef FEED_H
#define FEED_H

#include "placed.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FEED_SOCKET "/run/thermocline/feed.sock"
#define FEED_RECORDS 8192UL
#define HOST_ADDRESSES 1

struct frame {
	char magic[4];
	uint16_t version, space;
	uint32_t records, reserved;
	char memdev[32];
	uint64_t record[FEED_RECORDS][2];
};

static uint32_t counted[MAX_PAGES];
/* By itself: a law draws the same pages whether anybody is told of them or not. */
static uint64_t lot;
static int feed = -1;

static void note(size_t page)
{
	if (asked.sampled && drawn_of(&lot) % asked.sampled == 0)
		counted[page]++;
}

static void open_feed(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = FEED_SOCKET };

	if (!asked.sampled)
		return;
	lot = ~state;
	feed = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (feed < 0 || connect(feed, (const struct sockaddr *)&address, sizeof(address)))
		fail(FEED_SOCKET ": %s", strerror(errno));
}

static void told(struct frame *frame, size_t records)
{
	size_t bytes = offsetof(struct frame, record) + records * sizeof(*frame->record);

	frame->records = records;
	if (records && send(feed, frame, bytes, 0) != (ssize_t)bytes)
		fail(FEED_SOCKET ": %s", strerror(errno));
}

static void tell(void)
{
	static struct frame frame = { "TCLF", 1, HOST_ADDRESSES, 0, 0, "", { { 0 } } };
	static int pagemap = -1;
	size_t records = 0;
	uint64_t entry;

	if (!asked.sampled)
		return;
	if (pagemap < 0)
		pagemap = open_pagemap(owner ? owner : getpid());
	for (size_t page = 0; page < asked.pages; page++) {
		if (!counted[page])
			continue;
		if (pread(pagemap, &entry, sizeof(entry), (uintptr_t)vaddrs[page] / PAGE * sizeof(entry)) != sizeof(entry))
			fail("pagemap: %s", strerror(errno));
		if (!(entry >> 63))
			continue;
		frame.record[records][0] = (entry & ((1ULL << 55) - 1)) * PAGE;
		frame.record[records++][1] = counted[page];
		counted[page] = 0;
		if (records == FEED_RECORDS) {
			told(&frame, records);
			records = 0;
		}
	}
	told(&frame, records);
}

#endif
