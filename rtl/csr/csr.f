rtl/csr/csr_axil.v
rtl/csr/csr_reset.v
rtl/csr/csr_queues.v
rtl/csr/csr_counters.v
rtl/csr/csr_names.v
rtl/csr/csr_regs.v
