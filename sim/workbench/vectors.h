// SPDX-License-Identifier: Apache-2.0
// The commands `espalier-sim vectors`, `esp-vectors` and `ike-vectors`.
#ifndef SIM_WORKBENCH_VECTORS_H
#define SIM_WORKBENCH_VECTORS_H

// Each takes the files' names and returns the exit code (enum wb_exit).
int wb_vectors(int n_files, char **files);
int wb_ike_vectors(int n_files, char **files);
int wb_esp_vectors(int n_files, char **files);

#endif
