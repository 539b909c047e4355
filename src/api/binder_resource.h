// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api/router.h"

namespace sluice::api {

// The handlers of /binders, for the same resources below /iot-admin/v1/accounts/{id}: the account is the caller's, the
// binder's id the first parameter.
struct BinderHandlers {
  Handler list, create, get, put, patch, erase;
};
BinderHandlers binder_handlers();

}  // namespace sluice::api
