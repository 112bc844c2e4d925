// SPDX-License-Identifier: Apache-2.0
// The version of the whole, as people see it.
#ifndef ESPALIER_VERSION_H
#define ESPALIER_VERSION_H

#define ESPALIER_VERSION "0.1.0"

#endif
