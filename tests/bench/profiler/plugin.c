// SPDX-License-Identifier: Apache-2.0
/*
 * A plugin of QEMU's TCG: counts every instruction that the guest executes between two addresses, `start` and `stop`,
 * by its own address, and writes ADDRESS COUNT lines to the file `out` at `stop`. All of user space is one line, USER.
 *
 * What is declared here is the part of QEMU's plugin interface (docs/devel/tcg-plugins, QEMU 10.0, interface version
 * 4) that it needs: Debian has no package with the header.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define KERNEL_TEXT 0xffffffff80000000ULL
#define KERNEL_TEXT_BYTES (64UL << 20)
#define NO_REGISTERS 0

struct qemu_plugin_tb;
struct qemu_plugin_insn;

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*translated)(uint64_t id, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *instruction,
					    void (*executed)(unsigned int cpu, void *data), int registers, void *data);

EXPORT int qemu_plugin_version = 4;

static uint64_t start, stop, *kernel, user, elsewhere;
static const char *out;
static bool counting;

static void begin(unsigned int cpu, void *data)
{
	(void)cpu, (void)data;
	counting = true;
}

static void end(unsigned int cpu, void *data)
{
	FILE *file;

	(void)cpu, (void)data;
	counting = false;
	file = fopen(out, "w");
	if (!file) {
		perror(out);
		abort();
	}
	fprintf(file, "USER %llu\nELSEWHERE %llu\n", (unsigned long long)user, (unsigned long long)elsewhere);
	for (uint64_t offset = 0; offset < KERNEL_TEXT_BYTES; offset++)
		if (kernel[offset])
			fprintf(file, "%llx %llu\n", (unsigned long long)(KERNEL_TEXT + offset),
				(unsigned long long)kernel[offset]);
	fclose(file);
}

static void count(unsigned int cpu, void *counter)
{
	(void)cpu;
	if (counting)
		++*(uint64_t *)counter;
}

static uint64_t *counter_of(uint64_t address)
{
	if (address >= KERNEL_TEXT && address < KERNEL_TEXT + KERNEL_TEXT_BYTES)
		return &kernel[address - KERNEL_TEXT];
	return address >> 47 ? &elsewhere : &user;
}

static void translated(uint64_t id, struct qemu_plugin_tb *block)
{
	(void)id;
	for (size_t index = 0; index < qemu_plugin_tb_n_insns(block); index++) {
		struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, index);
		uint64_t address = qemu_plugin_insn_vaddr(instruction);

		if (address == start)
			qemu_plugin_register_vcpu_insn_exec_cb(instruction, begin, NO_REGISTERS, NULL);
		if (address == stop)
			qemu_plugin_register_vcpu_insn_exec_cb(instruction, end, NO_REGISTERS, NULL);
		qemu_plugin_register_vcpu_insn_exec_cb(instruction, count, NO_REGISTERS, counter_of(address));
	}
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int argument = 0; argument < argc; argument++) {
		if (!strncmp(argv[argument], "start=", 6))
			start = strtoull(argv[argument] + 6, NULL, 16);
		else if (!strncmp(argv[argument], "stop=", 5))
			stop = strtoull(argv[argument] + 5, NULL, 16);
		else if (!strncmp(argv[argument], "out=", 4))
			out = strdup(argv[argument] + 4);
	}
	/* Zero pages until they are counted in. */
	kernel = calloc(KERNEL_TEXT_BYTES, sizeof(*kernel));
	if (!start || !stop || !out || !kernel)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
