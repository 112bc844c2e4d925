rtl/top/espalier_top.v
