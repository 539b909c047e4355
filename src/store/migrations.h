// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "store/database.h"

namespace sluice::store {

// The steps from an empty file to today's schema, in order: number n leads from version n-1 to n. A published step is
// never edited; a change of the schema is a further step.
std::span<const char* const> migrations();

// Brings the database up to `target` (for tests; 0: the newest), each step in a transaction of its own. Errors:
// bad_config where the file is of a newer version than this program knows.
Result<void> migrate(Database& database, int target = 0);

}  // namespace sluice::store
