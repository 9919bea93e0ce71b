"""steve at home in frameworks: a package for each, which uses steve's public names only. Nothing else in steve imports them."""
