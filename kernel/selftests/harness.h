/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The harness of the kernel's selftests, with time for machines that are emulated and busy.
 */
#ifndef MOVE_PHY_PAGES_HARNESS_H
#define MOVE_PHY_PAGES_HARNESS_H

#include "../../kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 600

#endif
