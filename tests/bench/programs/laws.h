/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The laws by which tiers' programs read their pages: which page with which rate, and one drawn by them. The same seed
 * gives the same pages.
 */
#ifndef LAWS_H
#define LAWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_PAGES 32768UL
/* A hot set of this part of the capacity, and what it gets of the accesses; for how many intervals it is the same. */
#define SHIFTING_SET 0.8
#define SCAN_SET 0.4
#define LARGE_SET 2
#define HOT_PART 0.9
#define SHIFT_INTERVALS 8
/* When late memory comes, and what it gets of the accesses; the file before it is as large as the capacity. */
#define LATE_INTERVALS 2
#define LATE_PART 0.95

enum law { ZIPF, SHIFTING, SCAN, EVEN, LARGE, LATE, FORKS, REDIS, SHORT, BYSTANDER };

static const char *const laws[] = {
	"zipf", "shifting", "scan", "even", "large", "late", "forks", "redis", "short", "bystander",
};

static struct {
	enum law law;
	size_t pages, capacity, accesses;
	long interval_ms, intervals;
	bool hold;
	/* One of so many accesses is told to the agent; none for 0. */
	unsigned long sampled;
	/* The node on which all memory is from the start; the law's own for none. */
	int start;
} asked;

static size_t order[MAX_PAGES];
static double rates[MAX_PAGES], weights[MAX_PAGES], sums[MAX_PAGES];
static size_t scan_at;
static uint64_t state;

/* splitmix64 */
static uint64_t drawn_of(uint64_t *from)
{
	uint64_t z = (*from += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static uint64_t drawn(void)
{
	return drawn_of(&state);
}

static double part(void)
{
	return (drawn() >> 11) * 0x1p-53;
}

/* Pages in random order, so that what is hot lies nowhere together. */
static void shuffle(void)
{
	for (size_t page = 0; page < asked.pages; page++)
		order[page] = page;
	for (size_t page = asked.pages - 1; page; page--) {
		size_t other = drawn() % (page + 1), held = order[page];

		order[page] = order[other];
		order[other] = held;
	}
}

static void hot_set(size_t first, size_t size, double share)
{
	for (size_t page = 0; page < asked.pages; page++)
		rates[page] = (1 - share) / asked.pages;
	for (size_t place = 0; place < size; place++)
		rates[order[(first + place) % asked.pages]] += share / size;
}

/* Of the pages from `first` on, in random order, the n-th in proportion to 1/n. */
static void by_zipf(size_t first, double share)
{
	size_t place = 0;
	double sum = 0;

	for (size_t at = 0; at < asked.pages; at++)
		if (order[at] >= first)
			sum += rates[order[at]] = 1.0 / ++place;
	for (size_t page = first; page < asked.pages; page++)
		rates[page] = share * rates[page] / sum;
}

static void evenly(size_t pages, double share)
{
	for (size_t page = 0; page < asked.pages; page++)
		rates[page] = page < pages ? share / pages : 0;
}

/* Rates are what a program means to do, weights what it does in this interval; both add up to 1. */
static void set_rates(long interval)
{
	size_t set;

	switch (asked.law) {
	case ZIPF:
	case FORKS:
	case REDIS:
		by_zipf(0, 1);
		break;
	case SHIFTING:
		set = asked.capacity * SHIFTING_SET;
		hot_set(interval / SHIFT_INTERVALS * set, set, HOT_PART);
		break;
	case SCAN:
		hot_set(0, asked.capacity * SCAN_SET, 1 - asked.pages / 2.0 / asked.accesses);
		break;
	case LARGE:
		hot_set(0, asked.capacity * LARGE_SET, HOT_PART);
		break;
	case LATE:
		evenly(asked.capacity, interval < LATE_INTERVALS ? 1 : 1 - LATE_PART);
		if (interval >= LATE_INTERVALS)
			by_zipf(asked.capacity, LATE_PART);
		break;
	default:
		evenly(asked.pages, 1);
	}
}

static void set_weights(void)
{
	double sum = 0;

	for (size_t page = 0; page < asked.pages; page++)
		weights[page] = rates[page];
	if (asked.law == SCAN) {
		/* What everybody gets as a rate, half of the pages get twice, one after the other. */
		double each = 0.5 / asked.accesses;

		for (size_t page = 0; page < asked.pages; page++)
			weights[page] -= each;
		for (size_t page = 0; page < asked.pages / 2; page++)
			weights[(scan_at + page) % asked.pages] += 2 * each;
	}
	for (size_t page = 0; page < asked.pages; page++)
		sums[page] = sum += asked.law == SCAN ? rates[page] - 0.5 / asked.accesses : rates[page];
}

static size_t drawn_page(void)
{
	double wanted = part() * sums[asked.pages - 1];
	size_t low = 0, high = asked.pages - 1;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (sums[middle] > wanted)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

#endif
