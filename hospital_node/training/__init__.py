"""Local work: plain training, DP-SGD over patients, its self-test, and evaluation."""
