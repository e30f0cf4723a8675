// The CHSH test on a Bell pair. Alice measures Z or X, Bob (Z + X)/sqrt(2) or (Z - X)/sqrt(2), so
// S = sqrt(2) (ZZ + XX). The program measures nothing; chsh.json names what to estimate.
// Expect S = 2 sqrt(2) = 2.83, above the classical bound of 2, and ZZ = XX = 1, YY = -1.
OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q;
h q[0];
cx q[0], q[1];
