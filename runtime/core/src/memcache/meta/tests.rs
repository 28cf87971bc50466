//! Meta commands in front of a real tablet, against what memcached 1.6.18 was seen to answer.

use super::super::tests::check;

#[test]
fn every_answer_is_the_one_of_memcached() {
    for (sent, want) in SEEN {
        check(sent, want);
    }
}

#[test]
fn where_we_differ_from_memcached_it_is_on_purpose() {
    // Flags about what is not kept. memcached answers all of these.
    for line in ["mg a h", "mg a l v", "mg a N30", "mg a R30", "md a I", "md a I T30"] {
        check(format!("{line}\r\nmn\r\n").as_bytes(), b"CLIENT_ERROR unsupported flag\r\nMN\r\n");
    }
    check(b"ms a 9 I C0\r\nflush_all\r\nmn\r\n", b"CLIENT_ERROR unsupported flag\r\nMN\r\n");
    check(b"ms a 2 I\r\nhi\r\nmg a v\r\n", b"HD\r\nVA 2\r\nhi\r\n");
    // memcached tells what the life was before T when t stands before it.
    check(
        b"ms a 2 T100\r\nhi\r\nmg a T200 t\r\nmg a t T300\r\nmg a T0 t\r\n",
        b"HD\r\nHD t200\r\nHD t300\r\nHD t-1\r\n",
    );
    // memcached remembers that a key was sent as base64.
    check(b"ms YWJj 2 b\r\nhi\r\nmg abc k v\r\n", b"HD\r\nVA 2 kabc\r\nhi\r\n");
    // memcached tells la, fetch and cls, and a size with its own header; its exp has the wrong sign.
    check(
        b"ms a 2 T100\r\nhi\r\nme a\r\nms YWJj 2 b\r\nhi\r\nme YWJj b\r\nme\r\nme a b\r\n",
        b"HD\r\nME a exp=100 cas=1 size=2\r\nHD\r\nME YWJj exp=-1 cas=2 size=2\r\n\
          CLIENT_ERROR bad command line format\r\nCLIENT_ERROR bad command line format\r\n",
    );
    check(b"ms a 2 F4294967296\r\nhi\r\n", b"CLIENT_ERROR bad command line format\r\n");
}

#[test]
fn a_data_block_of_a_refused_ms_is_never_carried_out() {
    let bad = "CLIENT_ERROR bad command line format\r\n";
    for line in ["ms a S9", "ms a x", "ms a -1", "ms a b 9"] {
        check(format!("{line}\r\nflush_all\r\n").as_bytes(), format!("{bad}<closed>").as_bytes());
    }
    let long = "k".repeat(251);
    check(format!("ms {long} 9\r\nflush_all\r\nmn\r\n").as_bytes(), format!("{bad}MN\r\n").as_bytes());
    check(b"ms a 9 Z\r\nflush_all\r\nmn\r\n", b"CLIENT_ERROR invalid flag\r\nMN\r\n");
}

/// Sent to memcached 1.6.18, each on a new server, and what came back.
const SEEN: &[(&[u8], &[u8])] = &[
    (b"mg a\r\n", b"EN\r\n"),
    (b"mg a v\r\n", b"EN\r\n"),
    (b"mg a v q k O123\r\nmn\r\n", b"MN\r\n"),
    (b"mg a O123 k\r\nmn\r\n", b"EN O123 ka\r\nMN\r\n"),
    (b"set a 5 0 2\r\nhi\r\nmg a\r\nmg a v\r\nmg a s v f c t k O12\r\nmg a q\r\nmn\r\n", b"STORED\r\nHD\r\nVA 2\r\nhi\r\nVA 2 s2 f5 c1 t-1 ka O12\r\nhi\r\nHD\r\nMN\r\n"),
    (b"set a 5 0 2\r\nhi\r\nmg a v v\r\nmg a Z\r\nmg a z\r\nmg a v1\r\nmg a P1 L2 v\r\nmg a noreply\r\n", b"STORED\r\nCLIENT_ERROR duplicate flag\r\nCLIENT_ERROR invalid flag\r\nCLIENT_ERROR invalid flag\r\nVA 2\r\nhi\r\nVA 2\r\nhi\r\nCLIENT_ERROR invalid flag\r\n"),
    (b"mg\r\n", b"ERROR\r\n"),
    (b"mg \r\n", b"ERROR\r\n"),
    (b"mg a b\r\n", b"CLIENT_ERROR error decoding key\r\n"),
    (b"ms !!!! 2 b\r\nhi\r\nmn\r\n", b"CLIENT_ERROR error decoding key\r\nMN\r\n"),
    (b"ms YWJ 2 b\r\nhi\r\nmn\r\n", b"CLIENT_ERROR error decoding key\r\nMN\r\n"),
    (b"ms a 2\r\nhi\r\nmg a v c f t\r\n", b"HD\r\nVA 2 c1 f0 t-1\r\nhi\r\n"),
    (b"ms a 2 T100 F5 c k O9 I\r\nhi\r\nmg a v f t\r\n", b"HD c1 ka O9\r\nVA 2 f5 t100\r\nhi\r\n"),
    (b"ms a\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"ms a 2 q\r\nhi\r\nms a 2 q ME\r\nhi\r\nmn\r\n", b"NS\r\nMN\r\n"),
    (b"ms a 2 ME\r\nhi\r\nms a 2 ME k O1 c\r\nhi\r\nms b 2 MR\r\nhi\r\nms b 2 MA\r\nhi\r\nms a 2 MA\r\nXY\r\nms a 2 MP\r\nPQ\r\nmg a v\r\n", b"HD\r\nNS ka O1 c0\r\nNS\r\nNS\r\nHD\r\nHD\r\nVA 6\r\nPQhiXY\r\n"),
    (b"ms a 2 C1\r\nhi\r\nms a 2\r\nhi\r\nms a 2 C99 c k\r\nhi\r\nms a 2 C1 c\r\nho\r\nms a 2 C1 MA\r\nhi\r\nms a 2 C2 MA c\r\nhi\r\nms a 2 C99 ME\r\nhi\r\nms z 2 C99 ME\r\nhi\r\nms z 2 C99 MA\r\nhi\r\nms y 1 C9 MR\r\nh\r\n", b"NF\r\nHD\r\nEX c0 ka\r\nHD c2\r\nEX\r\nHD c3\r\nNS\r\nHD\r\nEX\r\nNF\r\n"),
    (b"ms a 2 MX\r\nhi\r\nmn\r\n", b"CLIENT_ERROR invalid mode for ms M token\r\nMN\r\n"),
    (b"ms a 2 M\r\nhi\r\nmn\r\n", b"CLIENT_ERROR incorrect length for M token\r\nMN\r\n"),
    (b"ms a 2 MEE\r\nhi\r\nmn\r\n", b"CLIENT_ERROR incorrect length for M token\r\nMN\r\n"),
    (b"ms a 2 Me\r\nhi\r\nmn\r\n", b"CLIENT_ERROR invalid mode for ms M token\r\nMN\r\n"),
    (b"ms a 2 Fx\r\nhi\r\nmn\r\n", b"CLIENT_ERROR bad command line format\r\nMN\r\n"),
    (b"ms a 2 Tx\r\nhi\r\nmn\r\n", b"CLIENT_ERROR bad token in command line format\r\nMN\r\n"),
    (b"ms a 2 Cx\r\nhi\r\nmn\r\n", b"CLIENT_ERROR bad token in command line format\r\nMN\r\n"),
    (b"ms a 2 T-1\r\nhi\r\nmg a v\r\n", b"HD\r\nEN\r\n"),
    (b"ms a 2 Y\r\nhi\r\nmn\r\n", b"CLIENT_ERROR invalid flag\r\nMN\r\n"),
    (b"ms a 2 s S5 v\r\nhi\r\nmn\r\n", b"CLIENT_ERROR invalid flag\r\nMN\r\n"),
    (b"ms a 2 noreply\r\nhi\r\nmn\r\n", b"CLIENT_ERROR invalid flag\r\nMN\r\n"),
    (b"ms a 2\r\nhixx\r\nmn\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\nMN\r\n"),
    (b"md a\r\nms a 2\r\nhi\r\nmd a k O1\r\nmd a q\r\nms a 2\r\nhi\r\nmd a q\r\nmd a q\r\nmn\r\n", b"NF\r\nHD\r\nHD ka O1\r\nNF\r\nHD\r\nNF\r\nMN\r\n"),
    (b"ms a 2\r\nhi\r\nmd a C9 k\r\nmd a C1 O3 q\r\nmn\r\n", b"HD\r\nEX ka\r\nMN\r\n"),
    (b"md\r\nmd a X\r\nmd a Cx\r\nmd a x\r\nmd a T5\r\n", b"ERROR\r\nCLIENT_ERROR invalid or duplicate flag\r\nCLIENT_ERROR invalid or duplicate flag\r\nCLIENT_ERROR invalid or duplicate flag\r\nNF\r\n"),
    (b"ma a\r\nma a N0\r\nma a N0\r\nma a v\r\nma a D5 v\r\nma a MD v\r\nma a M- D100 v\r\n", b"NF\r\nHD\r\nHD\r\nVA 1\r\n2\r\nVA 1\r\n7\r\nVA 1\r\n6\r\nVA 1\r\n0\r\n"),
    (b"ma a N0 J13 v t c k O5\r\nma a v t c k O5\r\nma a T30 t v c\r\nmg a t v\r\n", b"VA 2 t-1 c1 ka O5\r\n13\r\nVA 2 t-1 c2 ka O5\r\n14\r\nVA 2 t30 c3\r\n15\r\nVA 2 t30\r\n15\r\n"),
    (b"ma a N100 J13 t v\r\nma a t v\r\nma a N0 q\r\nma zz q\r\nma zz q k O1\r\nmn\r\n", b"VA 2 t100\r\n13\r\nVA 2 t100\r\n14\r\nNF\r\nNF kzz O1\r\nMN\r\n"),
    (b"ms a 2\r\nhi\r\nma a\r\nma a v k q\r\n", b"HD\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    (b"ms a 1\r\n5\r\nma a C9 v\r\nma a C9 k O2\r\nma a C1 v c\r\n", b"HD\r\nEX\r\nEX ka O2\r\nVA 1 c2\r\n6\r\n"),
    (b"ma a Dx\r\nma a Jx\r\nma a Nx\r\nma a MX\r\nma a MI\r\nma a M+\r\nma a MII\r\nma a D-1\r\nma a Z\r\nma\r\n", b"CLIENT_ERROR invalid or duplicate flag\r\nCLIENT_ERROR invalid or duplicate flag\r\nCLIENT_ERROR invalid or duplicate flag\r\nCLIENT_ERROR invalid mode for ma M token\r\nNF\r\nNF\r\nCLIENT_ERROR invalid or duplicate flag\r\nCLIENT_ERROR invalid or duplicate flag\r\nCLIENT_ERROR invalid or duplicate flag\r\nERROR\r\n"),
    (b"ma a N0 J18446744073709551615\r\nma a v\r\nma a MD v\r\n", b"HD\r\nVA 1\r\n0\r\nVA 1\r\n0\r\n"),
    (b"mg kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk v\r\nmn\r\n", b"CLIENT_ERROR bad command line format\r\nMN\r\n"),
    (b"mg a Oaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa v\r\nmn\r\n", b"CLIENT_ERROR opaque token too long\r\nMN\r\n"),
    (b"set a 5 0 2\r\nhi\r\nmg a Oaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa v\r\nmg a O v\r\nmg a k b v\r\n", b"STORED\r\nCLIENT_ERROR opaque token too long\r\nVA 2 O\r\nhi\r\nCLIENT_ERROR error decoding key\r\n"),
    (b"mg a k k k O1 O2\r\nset a 5 0 2\r\nhi\r\nmg a k k k\r\nmg a s q v k O1\r\n", b"CLIENT_ERROR duplicate flag\r\nSTORED\r\nCLIENT_ERROR duplicate flag\r\nVA 2 s2 ka O1\r\nhi\r\n"),
    (b"ms a 2 q\r\nhi\r\nmg a q v\r\nmg a q\r\nmg b q v\r\nmn\r\n", b"VA 2\r\nhi\r\nHD\r\nMN\r\n"),
    (b"ms a 0\r\n\r\nmg a v\r\n", b"HD\r\nVA 0\r\n\r\n"),
    (b"mn a b\r\nmnn\r\nmx a\r\nm\r\n", b"MN\r\nERROR\r\nERROR\r\nERROR\r\n"),
    (b"ms a 2  T0  F3 \r\nhi\r\nmg  a  f  v \r\n", b"HD\r\nVA 2 f3\r\nhi\r\n"),
    (b"ms a 2 F-1\r\nhi\r\nmn\r\n", b"CLIENT_ERROR bad command line format\r\nMN\r\n"),
    (b"mg a T\r\nmg a Tx\r\nset a 0 0 1\r\n1\r\nmg a T v\r\n", b"CLIENT_ERROR bad token in command line format\r\nCLIENT_ERROR bad token in command line format\r\nSTORED\r\nCLIENT_ERROR bad token in command line format\r\n"),
    (b"ma a N0 J5\r\nma a Mi v\r\nma a Md v\r\nma a v q\r\nma a q\r\nma a Me v\r\nmn\r\n", b"HD\r\nCLIENT_ERROR invalid mode for ma M token\r\nCLIENT_ERROR invalid mode for ma M token\r\nCLIENT_ERROR invalid mode for ma M token\r\nMN\r\n"),
    (b"ms a 2 I O5 k\r\nhi\r\nms a 2 O5 q\r\nhi\r\nmd a b\r\nmd YWJj b k O3\r\nma YWJj b k N0\r\nma YWJj b k v\r\n", b"HD O5 ka\r\nCLIENT_ERROR invalid or duplicate flag\r\nNF kYWJj b O3\r\nHD kYWJj b\r\nVA 1 kYWJj b\r\n1\r\n"),
    (b"ms YWJj 2 b k c\r\nhi\r\nmg YWJj k b v\r\nmg YWJj b s k f v\r\n", b"HD kYWJj b c1\r\nVA 2 kYWJj b\r\nhi\r\nVA 2 s2 kYWJj b f0\r\nhi\r\n"),
    (b"ms a 2 t s f v h l u\r\nhi\r\nmd a t s f c v h u\r\n", b"HD\r\nHD\r\n"),
    (b"mg a C5 M3 I D1 J1 F1\r\nms a 1 D1 J1 N5 R5\r\n5\r\nma a F1 R3 I s f h l u v\r\n", b"EN\r\nHD\r\nVA 1\r\n6\r\n"),
    (b"mg a M\r\nmg a D\r\nmg a Dx\r\nmg a Nx\r\nmg a Cx\r\nmg a Fx\r\nmg a Jx\r\nmg a N\r\nmg a R\r\nmg a k1\r\nmg a vv\r\n", b"CLIENT_ERROR incorrect length for M token\r\nCLIENT_ERROR invalid numeric delta value\r\nCLIENT_ERROR invalid numeric delta value\r\nCLIENT_ERROR bad token in command line format\r\nCLIENT_ERROR bad token in command line format\r\nCLIENT_ERROR bad command line format\r\nCLIENT_ERROR invalid numeric initial value\r\nCLIENT_ERROR bad token in command line format\r\nCLIENT_ERROR bad token in command line format\r\nEN ka\r\nEN\r\n"),
    (b"ms\r\nmn\r\n", b"ERROR\r\nMN\r\n"),
    (b"md a Oaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nmn\r\n", b"CLIENT_ERROR opaque token too long\r\nMN\r\n"),
    (b"mg a Oaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nmn\r\n", b"EN Oaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nMN\r\n"),
    (b"mg a Oaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nmn\r\n", b"CLIENT_ERROR opaque token too long\r\nMN\r\n"),
    (b"ms a 2 Oaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nhi\r\nmn\r\n", b"CLIENT_ERROR opaque token too long\r\nMN\r\n"),
    (b"ms a 1 q\r\n5\r\nma a q v\r\nma a q D3 t\r\nma a MD D3 v t k\r\nmg a v k q O77 s c f\r\n", b"VA 1 t-1 ka\r\n6\r\nVA 1 ka O77 s1 c4 f0\r\n6\r\n"),
    (b"ms a 1 T500 F9\r\n5\r\nma a v t\r\nma a T0 v t\r\nmg a f t v s\r\n", b"HD\r\nVA 1 t500\r\n6\r\nVA 1 t-1\r\n7\r\nVA 1 f9 t-1 s1\r\n7\r\n"),
    (b"ms a 1 c\r\n1\r\nms a 1 c MA\r\n2\r\nms a 1 C2 c\r\n3\r\nms a 1 C2 c\r\n3\r\nmd a C3 q\r\nmg a\r\n", b"HD c1\r\nHD c2\r\nHD c3\r\nEX c0\r\nEN\r\n"),
    (b"gets a\r\nms a 1 F4\r\n1\r\ngets a\r\nincr a 5\r\nmg a c v f\r\ntouch a 300\r\nmg a t c\r\ngat 100 a\r\nmg a t\r\n", b"END\r\nHD\r\nVALUE a 4 1 1\r\n1\r\nEND\r\n6\r\nVA 1 c2 f4\r\n6\r\nTOUCHED\r\nHD t300 c2\r\nVALUE a 4 1\r\n6\r\nEND\r\nHD t100\r\n"),
];
