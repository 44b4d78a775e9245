use std::time::Instant;
use tidegate_log::{RowReader, RowRef, ReadError};
use tidegate_model::*;
use tidegate_model::row::{Op, SessionMetrics};
use tidegate_sinks::*;
struct R(Vec<String>);
impl RowReader for R {
    fn partitions(&mut self, t: &str) -> Result<Vec<PartitionId>, ReadError> { Ok(if t=="session_metrics" {vec![PartitionId(0)]} else {vec![]}) }
    fn read(&mut self, _: &str, _: PartitionId, from: Offset, max: usize, v: &mut dyn FnMut(RowRef<'_>)) -> Result<Offset, ReadError> {
        let f = from.0 as usize; let e = (f+max).min(self.0.len());
        for i in f..e { v(RowRef{offset:Offset(i as u64),key:b"",value:self.0[i].as_bytes(),epoch:Epoch(1+i as u64/1000),op:Op::Final,generation:Generation(1),headers:&[]}); }
        Ok(Offset(e as u64))
    }
    fn acknowledge(&mut self,_: &str,_: &str,_: PartitionId,_: Offset)->Result<(),ReadError>{Ok(())}
    fn on_commit(&mut self,_: tidegate_log::event::Wake){}
}
fn main() {
    let n = 1_000_000u64;
    let rows: Vec<String> = (0..n).map(|i| { let s=EventTime::from_millis(1_431_857_103_007+(i as i64)*37); serde_json::to_string(&SessionMetrics{session_id:format!("sess-{:x}",i.wrapping_mul(0x9E3779B97F4A7C15)),user_id:format!("user-{}",i%5000),start_time:s,end_time:s.plus_ms(90_000),duration:90_000,page_count:4,device_category:"Desktop".into()}).unwrap()}).collect();
    let t=Instant::now();
    for (i,r) in rows.iter().enumerate() { std::hint::black_box(decode::decode(Table::Metrics(Schema::ALL[1]), &RowRef{offset:Offset(i as u64),key:b"",value:r.as_bytes(),epoch:Epoch(1),op:Op::Final,generation:Generation(1),headers:&[]})); }
    println!("decode {:.0} rows/s", n as f64/t.elapsed().as_secs_f64());
    let t=Instant::now(); for i in 0..n { std::hint::black_box(EventTime::from_millis(1_431_857_103_007+(i as i64)*37).to_table_text()); } println!("to_table_text {:.0} ns", t.elapsed().as_nanos() as f64/n as f64);
    let d = std::env::args().nth(1).unwrap();
    let store = SqliteStore::open(std::path::Path::new(&d)).unwrap();
    let t=Instant::now();
    let mut s = Sink::new(R(rows), store, Config::default());
    while !s.step(EventTime::from_millis(0)).unwrap().caught_up {}
    println!("sink {:.0} rows/s", n as f64/t.elapsed().as_secs_f64());
}
