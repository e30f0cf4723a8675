// Grover's search for 101 among 8 states, with two iterations.
// Expect 101 in 94.5 % of the shots (121/128), and the other seven equally in the rest.
OPENQASM 2.0;
include "qelib1.inc";

// Flips the sign of |111>.
gate ccz a, b, c { h c; ccx a, b, c; h c; }
gate oracle a, b, c { x b; ccz a, b, c; x b; }
gate diffuse a, b, c {
  h a; h b; h c;
  x a; x b; x c;
  ccz a, b, c;
  x a; x b; x c;
  h a; h b; h c;
}

qreg q[3];
creg c[3];
h q;
oracle q[0], q[1], q[2];
diffuse q[0], q[1], q[2];
oracle q[0], q[1], q[2];
diffuse q[0], q[1], q[2];
measure q -> c;
